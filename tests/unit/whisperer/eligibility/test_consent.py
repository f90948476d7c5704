"""Consent: what stands, and what a later word, a broader word and no word at all mean."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.eligibility.consent import allows, state
from whisperer.eligibility.standing import Consent, Standing

Statement = tuple[str, str, int, bool]


def standing_of(*statements: Statement) -> Standing:
    standing = Standing()
    for channel, purpose, at, granted in statements:
        state(standing, channel, purpose, Consent(at, granted, "test"))
    return standing


def naively_allowed(statements: list[Statement], default: bool) -> bool:
    """For e-mail and marketing; at most one statement for each pair.

    A withdrawal stands unless something narrower was granted at its time or later; a grant needs no more than that no
    narrower or equally narrow withdrawal speaks against it.
    """
    covering = [s for s in statements if s[0] in ("*", "email") and s[1] in ("*", "marketing")]
    width = {s: (s[0] == "*") + (s[1] == "*") for s in covering}
    standing_withdrawals = [
        w
        for w in covering
        if not w[3]
        and not any(
            g[3] and width[g] < width[w] and g[2] >= max(x[2] for x in covering if not x[3] and width[x] > width[g])
            for g in covering
        )
    ]
    if standing_withdrawals:
        return False
    return True if any(s[3] for s in covering) else default


statements = st.lists(
    st.tuples(
        st.sampled_from(["email", "sms", "*"]),
        st.sampled_from(["marketing", "news", "*"]),
        st.integers(0, 4),
        st.booleans(),
    ),
    unique_by=lambda s: s[:2],
)


@given(statements, st.booleans())
def test_statements_about_more_and_about_less_agree_with_a_plain_reading(said: list[Statement], default: bool) -> None:
    assert allows(standing_of(*said), "email", "marketing", default) == naively_allowed(said, default)


@pytest.mark.parametrize("default", [True, False])
def test_who_said_nothing_is_reached_by_the_tenants_default(default: bool) -> None:
    assert allows(Standing(), "email", "marketing", default) is default
    assert allows(standing_of(("sms", "marketing", 1, not default)), "email", "marketing", default) is default


def test_transactional_messages_need_no_consent() -> None:
    silenced = standing_of(("*", "*", 1, False), ("email", "transactional", 2, False))
    assert allows(silenced, "email", "transactional", default=False)


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ([("email", "marketing", 1, True)], True),
        ([("email", "marketing", 1, False)], False),
        ([("email", "*", 1, False)], False),
        ([("*", "marketing", 1, False)], False),
        ([("*", "*", 1, False)], False),
        ([("*", "*", 1, False), ("email", "marketing", 2, True)], True),  # no to all, then yes to one
        ([("*", "*", 1, False), ("email", "marketing", 1, True)], True),  # said at once: all but one
        ([("email", "marketing", 1, True), ("*", "*", 2, False)], False),  # unsubscribed from everything
        ([("email", "marketing", 1, False), ("*", "*", 2, True)], False),  # a yes to all lifts no particular no
        ([("*", "*", 2, False), ("email", "*", 3, True), ("email", "marketing", 1, True)], True),
        ([("email", "*", 1, True), ("*", "marketing", 2, False)], False),  # equally narrow
        ([("email", "*", 2, True), ("*", "marketing", 1, False)], False),
    ],
)
def test_a_narrower_word_counts_more_but_no_yes_outlives_a_later_no(said: list[Statement], allowed: bool) -> None:
    for order in permutations(said):
        assert allows(standing_of(*order), "email", "marketing", default=not allowed) is allowed


def test_of_two_words_on_the_same_matter_the_later_stands_and_a_withdrawal_on_a_tie() -> None:
    for first, second in permutations([Consent(1, True, "form"), Consent(2, False, "link")]):
        standing = Standing()
        state(standing, "email", "marketing", first)
        state(standing, "email", "marketing", second)
        assert standing.consent == {"email/marketing": Consent(2, False, "link")}
    tied = Standing()
    assert state(tied, "email", "marketing", Consent(1, False, "link"))
    assert not state(tied, "email", "marketing", Consent(1, True, "form"))
    assert not allows(tied, "email", "marketing", default=True)


@given(st.lists(st.builds(Consent, st.integers(0, 3), st.booleans(), st.sampled_from(["a", "b"])), max_size=5))
def test_the_order_in_which_words_arrive_makes_no_difference(said: list[Consent]) -> None:
    forwards, backwards = Standing(), Standing()
    for one in said:
        state(forwards, "email", "marketing", one)
    for one in reversed(said):
        state(backwards, "email", "marketing", one)
    assert forwards == backwards
