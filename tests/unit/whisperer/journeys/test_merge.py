"""Histories of two users that turn out to be one."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.whisperer.eligibility.test_merge import standings
from whisperer.journeys import merge as merging
from whisperer.journeys.engagement import (
    KEEP,
    OPEN,
    Decision,
    DecisionStatus,
    Engagement,
    Exposure,
    OutcomeEntry,
    encode,
)
from whisperer.journeys.merge import is_settled, kept, merge

SIDES = ("x", "y", "z")


def decision(name: str, at: int, status: str = DecisionStatus.SENT, **more: object) -> Decision:
    chosen = {} if status in (DecisionStatus.DECIDING, DecisionStatus.REFUSED) else {"chosen_at": at}
    return Decision(name, "tips", 1, "event", "o", at, status, **(chosen | more))  # type: ignore[arg-type]


statuses = st.sampled_from(
    [
        DecisionStatus.DECIDING,
        DecisionStatus.SENDING,
        DecisionStatus.SENT,
        DecisionStatus.NO_SEND,
        DecisionStatus.REFUSED,
    ]
)


@st.composite
def engagements(draw: st.DrawFn, side: str) -> Engagement:
    """A history of its own: decisions of one user are nobody else's."""
    names = draw(st.lists(st.integers(0, 9), unique=True, max_size=6))
    decisions = [
        decision(f"dec_{side}{n}", draw(st.integers(0, 3)), draw(statuses), matured=draw(st.booleans())) for n in names
    ]
    campaigns = st.sampled_from(["tips", "offer"])
    return merge(
        Engagement(
            draw(standings()),
            decisions,
            draw(st.dictionaries(campaigns, st.builds(Exposure, st.integers(0, 9), st.integers(0, 5_000)))),
            draw(st.dictionaries(campaigns, st.integers(0, 9))),
        ),
        Engagement(),
    )


@given(*map(engagements, SIDES), st.sampled_from([2, 64]))
@settings(deadline=None)
def test_histories_join_the_same_in_any_order(a: Engagement, b: Engagement, c: Engagement, keep: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(merging, "KEEP", keep)
        a, b, c = (merge(side, Engagement()) for side in (a, b, c))
        assert encode(merge(a, b)) == encode(merge(b, a))
        assert len({encode(merge(merge(p, q), r)) for p, q, r in permutations([a, b, c])}) == 1
        assert encode(merge(merge(a, b), c)) == encode(merge(a, merge(b, c)))
        assert encode(merge(a, Engagement())) == encode(a)


@given(*map(engagements, SIDES[:2]))
@settings(deadline=None)
def test_all_but_the_goals_may_be_merged_twice(a: Engagement, b: Engagement) -> None:
    once = merge(a, b)
    twice = merge(once, b)
    assert (once.standing, once.decisions, once.fired) == (twice.standing, twice.decisions, twice.fired)


def test_goals_of_both_histories_add_up_since_the_earlier_exposure() -> None:
    a = Engagement(exposures={"tips": Exposure(5, 1_000), "offer": Exposure(3, 7)})
    b = Engagement(exposures={"tips": Exposure(2, 2_500)})
    assert merge(a, b).exposures == {"tips": Exposure(2, 3_500), "offer": Exposure(3, 7)}
    assert a.exposures["tips"] == Exposure(5, 1_000)


def test_an_instant_considered_for_either_is_considered_for_both() -> None:
    assert merge(Engagement(fired={"a": 1, "b": 9}), Engagement(fired={"b": 3, "c": 2})).fired == {
        "a": 1,
        "b": 9,
        "c": 2,
    }


def test_decisions_are_in_the_order_they_were_considered() -> None:
    a = Engagement(decisions=[decision("dec_b", 1), decision("dec_c", 3)])
    b = Engagement(decisions=[decision("dec_a", 1), decision("dec_d", 2)])
    assert [d.id for d in merge(a, b).decisions] == ["dec_a", "dec_b", "dec_d", "dec_c"]


@pytest.mark.parametrize(
    ("behind", "ahead"),
    [
        (decision("dec_a", 1, revision=5), decision("dec_a", 1, matured=True)),
        (decision("dec_a", 1, outcomes=[OutcomeEntry(1, "opened")]), decision("dec_a", 1, revision=1)),
        (decision("dec_a", 1, DecisionStatus.SENDING), decision("dec_a", 1, DecisionStatus.SENT)),
        (decision("dec_a", 1), decision("dec_a", 1, outcomes=[OutcomeEntry(1, "opened")])),
    ],
)
def test_of_two_copies_of_a_decision_the_further_advanced_is_kept(behind: Decision, ahead: Decision) -> None:
    for one, other in permutations([behind, ahead]):
        assert merge(Engagement(decisions=[one]), Engagement(decisions=[other])).decisions == [ahead]


def test_only_settled_decisions_are_forgotten_and_the_oldest_first() -> None:
    settled = [decision(f"dec_{n:03}", n, matured=True) for n in range(KEEP + 2)]
    awaited = [
        decision("dec_open", 0, DecisionStatus.SENDING),
        decision("dec_immature", 0, DecisionStatus.SENT),
        decision("dec_deciding", 0, DecisionStatus.DECIDING),
    ]
    assert kept([*awaited, *settled]) == [*awaited, *settled[2:]]
    assert merge(Engagement(decisions=awaited), Engagement(decisions=settled)).decisions[-KEEP:] == settled[2:]


@given(statuses, st.booleans())
def test_a_decision_is_settled_when_nothing_more_can_come_of_it(status: str, matured: bool) -> None:
    one = decision("dec_a", 1, status, matured=matured)
    assert is_settled(one) == (status not in OPEN and (matured or status == DecisionStatus.REFUSED))


def test_a_refused_choice_still_matures() -> None:
    assert not is_settled(decision("dec_a", 1, DecisionStatus.REFUSED, chosen_at=1))
