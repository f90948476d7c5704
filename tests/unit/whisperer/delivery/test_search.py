"""When a message whose outcome is unknown is looked for again, and when it surely is not there."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from whisperer.delivery.dispatch import Looked
from whisperer.delivery.search import (
    ABSENT_FOR_MS,
    LOOKS_S,
    SOONEST_ABSENT_MS,
    CannotSay,
    Finding,
    NotThere,
    after,
    is_gone,
    wait_s,
)

AT = 1_700_000_000_000
NOT_THERE, UNCLEAR = NotThere(), CannotSay("the provider answered 500")


def looked_at(*findings: Finding, only_finds: bool = False) -> list[bool]:
    """Whether it is gone after each look of the schedule."""
    looked, now, gone = Looked(AT, "w", only_finds=only_finds), AT, []
    for finding in findings:
        pause_s = wait_s(looked)
        assert pause_s is not None
        now += round(1000 * pause_s)
        looked = after(looked, finding, now)
        gone.append(is_gone(looked, now))
    return gone


def test_only_whole_answers_in_a_row_far_apart_prove_that_it_is_not_there() -> None:
    nothing = [NOT_THERE] * len(LOOKS_S)
    assert looked_at(*nothing) == [False, False, False, True]
    assert looked_at(NOT_THERE, NOT_THERE, UNCLEAR, NOT_THERE) == [False] * 4
    assert looked_at(UNCLEAR, UNCLEAR, NOT_THERE, NOT_THERE) == [False, False, False, True]
    assert looked_at(*nothing, only_finds=True) == [False] * 4


def test_a_look_soon_after_the_attempt_does_not_count() -> None:
    soon = after(Looked(AT, "w"), NOT_THERE, AT + SOONEST_ABSENT_MS - 1)
    assert soon.absent_at == -1
    assert after(soon, NOT_THERE, AT + SOONEST_ABSENT_MS).absent_at == AT + SOONEST_ABSENT_MS


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 3 * ABSENT_FOR_MS)), max_size=8))
def test_it_is_gone_only_after_two_empty_answers_that_far_apart_with_nothing_else_between(
    looks: list[tuple[bool, int]],
) -> None:
    looked, now = Looked(AT, "w"), AT
    since: int | None = None
    for is_empty, pause_ms in looks:
        now += pause_ms
        looked = after(looked, NOT_THERE if is_empty else UNCLEAR, now)
        if not is_empty:
            since = None
        elif since is None and now - AT >= SOONEST_ABSENT_MS:
            since = now
        assert is_gone(looked, now) == (since is not None and now - since >= ABSENT_FOR_MS)
    assert looked.n == len(looks)


def test_looks_end() -> None:
    assert [wait_s(Looked(AT, "w", n=n)) for n in range(len(LOOKS_S) + 1)] == [*LOOKS_S, None]
    assert wait_s(Looked(AT, "w"), 1e9) == 86_400
    assert wait_s(Looked(AT, "w"), -5.0) == LOOKS_S[0]
