from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps.gateway.pages.formats import THIN
from serve_apps.gateway.pages.pictures import accounting, axis, bars, lift_picture, sentence
from serve_apps.gateway.services.report import LiftDocument, NotYetDocument
from tests.unit.serve_apps.gateway.pages.loop_documents import lift

NOBODY = NotYetDocument("no user was decided on", "no_outcomes")

COUNTS = st.integers(0, 10**9)


@given(COUNTS, COUNTS, st.dictionaries(st.text(max_size=5), COUNTS, max_size=20), COUNTS)
def test_shares_of_outcomes_add_up_to_a_hundred_and_the_bar_is_filled(
    sent: int, no_send: int, refused: dict[str, int], pending: int
) -> None:
    candidates = sent + no_send + sum(refused.values()) + pending
    parts, missing = accounting(candidates, sent, no_send, refused, pending)
    assert missing == 0
    assert sum(part.n for part in parts) == candidates
    assert all(part.n > 0 for part in parts)
    if parts:
        tenths = [part.share.removesuffix(f"{THIN}%").replace("<0.1", "0") for part in parts]
        assert sum(round(float(share) * 10) for share in tenths) == 1000
        assert parts[-1].x + parts[-1].width == pytest.approx(100, abs=0.05)


def test_candidates_that_came_to_nothing_known_are_told() -> None:
    assert accounting(10, 4, 3, {"capped": 1}, 1)[1] == 1


def test_reasons_stand_largest_first_and_neighbours_differ() -> None:
    parts, _ = accounting(60, 10, 0, {"a": 10, "b": 30, "c": 10}, 0)
    assert [(part.label, part.kind) for part in parts] == [
        ("sent", "sent"),
        ("b", "refused-0"),
        ("a", "refused-1"),
        ("c", "refused-2"),
    ]


def test_every_reason_has_a_sentence_and_an_unknown_one_stands_for_itself() -> None:
    assert sentence("capped") == "the user has had as many messages as the caps allow"
    assert sentence("moon_phase") == "moon phase"


def test_the_longest_bar_is_full_and_what_does_not_fit_is_one_row() -> None:
    assert [(bar.label, bar.width) for bar in bars({"a": 10, "b": 5})] == [("a", 100.0), ("b", 50.0)]
    assert [(bar.label, bar.n) for bar in bars({"a": 4, "b": 3, "c": 2, "d": 1}, 3)] == [
        ("a", 4),
        ("b", 3),
        ("2 more", 3),
    ]
    assert bars({}) == []
    assert bars({"a": 0})[0].width == 0


def test_an_axis_keeps_order_and_a_margin() -> None:
    place = axis([0.0, -2.0, 6.0])
    assert 0 < place(-2.0) < place(0.0) < place(6.0) < 100
    assert 0 < axis([0.0])(0.0) < 100


def test_an_interval_is_certain_only_where_zero_is_outside() -> None:
    verdicts = []
    for low, high in ((0.01, 0.03), (-0.01, 0.03), (-0.03, -0.01)):
        interval = lift_picture(lift((low + high) / 2, low, high), NOBODY).estimates[0].interval
        assert interval is not None
        assert interval.low < interval.point < interval.high
        verdicts.append(interval.certain)
    assert verdicts == ["above", "unclear", "below"]


def test_policy_and_uniform_share_an_axis_on_which_zero_is_the_holdout() -> None:
    picture = lift_picture(lift(0.05, 0.02, 0.08), lift(-0.02, -0.05, 0.01))
    policy, uniform = (estimate.interval for estimate in picture.estimates)
    assert policy is not None
    assert uniform is not None
    assert uniform.low < uniform.point < picture.zero < uniform.high < policy.low


def test_a_difference_is_told_in_words_of_its_size() -> None:
    def told(found: LiftDocument) -> tuple[str, str]:
        estimate = lift_picture(found, NOBODY).estimates[0]
        return estimate.headline.replace(THIN, " "), estimate.text.replace(THIN, " ")

    assert told(lift(0.0621, 0.031, 0.093, relative=0.48)) == ("+48 %", "6.21 more per 100 users (95 %: 3.1 to 9.3)")
    assert told(lift(-0.02, -0.05, 0.01)) == ("−2", "2 fewer per 100 users (95 %: −5 to 1)")
    assert told(lift(3.5, 1.25, 5.75)) == ("+3.5", "3.5 more per user (95 %: 1.25 to 5.75)")
    whole = lift(0.06, 0.03, 0.09, relative=0.48, relative_low=0.2, relative_high=0.81)
    assert told(whole)[1].endswith("which is +48 % (95 %: +20 % to +81 %)")


def test_without_users_there_is_no_interval_but_a_reason() -> None:
    policy, uniform = lift_picture(NotYetDocument("3 users in the holdout", "too_few_users"), NOBODY).estimates
    assert (policy.interval, policy.text) == (None, "3 users in the holdout")
    assert (uniform.interval, uniform.text) == (None, "no user was decided on")
