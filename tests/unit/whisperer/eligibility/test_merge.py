"""Standings of two users that turn out to be one: in any order the same, and nobody becomes reachable by it."""

from __future__ import annotations

from itertools import permutations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperer.eligibility import caps
from whisperer.eligibility.caps import is_capped, record
from whisperer.eligibility.consent import allows, state
from whisperer.eligibility.groups import assigned
from whisperer.eligibility.merge import merge
from whisperer.eligibility.rules import Cap
from whisperer.eligibility.standing import RETAIN_SENDS_MS, Consent, Sent, Standing
from whisperer.eligibility.suppression import is_suppressed, suppress

CHANNELS, PURPOSES = ["email", "sms", "*"], ["marketing", "*"]
ADDRESSES = ["ada@example.com", "bob@example.com", "eve@example.com"]

times = st.one_of(st.integers(0, 5), st.integers(0, 2 * RETAIN_SENDS_MS))


@st.composite
def standings(draw: st.DrawFn) -> Standing:
    """As the product makes them."""
    made = Standing()
    for channel, purpose, at, granted in draw(
        st.lists(st.tuples(st.sampled_from(CHANNELS), st.sampled_from(PURPOSES), times, st.booleans()), max_size=5)
    ):
        state(made, channel, purpose, Consent(at, granted, draw(st.sampled_from(["form", "link"]))))
    for channel, address, at in draw(
        st.lists(st.tuples(st.sampled_from(["email", "sms"]), st.sampled_from(ADDRESSES), times), max_size=4)
    ):
        suppress(made, channel, address, at, draw(st.sampled_from(["bounced", "complained"])))
    for key, at in draw(st.lists(st.tuples(st.integers(0, 7), times), max_size=7)):
        record(made, Sent(at, "tips", "email", f"snd_{key}"))
    if draw(st.booleans()):
        assigned(made, draw(st.sampled_from(["u:ada", "u:bob", "a:1"])), draw(times), "salt", 0.3, 0.3)
    return made


def as_bytes(standing: Standing) -> bytes:
    return msgspec.msgpack.encode(standing)


@given(standings(), standings(), standings(), st.sampled_from([3, 512]))
@settings(deadline=None, max_examples=300)
def test_merges_end_in_the_same_standing_in_any_order(a: Standing, b: Standing, c: Standing, most: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caps, "MAX_SENDS", most)
        a, b, c = (merge(x, Standing()) for x in (a, b, c))
        assert as_bytes(merge(a, a)) == as_bytes(a)
        assert as_bytes(merge(a, b)) == as_bytes(merge(b, a))
        assert as_bytes(merge(merge(a, b), b)) == as_bytes(merge(a, b))
        assert len({as_bytes(merge(merge(x, y), z)) for x, y, z in permutations([a, b, c])}) == 1
        assert as_bytes(merge(merge(a, b), c)) == as_bytes(merge(a, merge(b, c)))


@given(standings())
@settings(deadline=None)
def test_merging_with_nothing_changes_nothing(a: Standing) -> None:
    assert merge(a, Standing()) == a == merge(Standing(), a)


@given(standings(), standings())
@settings(deadline=None)
def test_what_stops_a_message_to_either_stops_it_to_both(a: Standing, b: Standing) -> None:
    both = merge(a, b)
    for address in ADDRESSES:
        stopped = is_suppressed(a, "email", address) or is_suppressed(b, "email", address)
        assert is_suppressed(both, "email", address) == stopped
    newest = max([s.at for side in (a, b) for s in side.sends], default=0)
    for cap in (Cap(1, "rolling", 1), Cap(2, "rolling", 1_000), Cap(2, "month")):
        alone = [is_capped(side.sends, [cap], "tips", "email", newest, "Asia/Tokyo") for side in (a, b)]
        assert is_capped(both.sends, [cap], "tips", "email", newest, "Asia/Tokyo") >= max(alone)


def test_the_later_word_of_either_holds_for_both() -> None:
    a, b = Standing(), Standing()
    state(a, "email", "marketing", Consent(1, True, "form"))
    state(b, "email", "marketing", Consent(2, False, "link"))
    assert not allows(merge(a, b), "email", "marketing", default=True)


@given(standings(), standings())
@settings(deadline=None)
def test_a_merge_leaves_both_sides_as_they_were(a: Standing, b: Standing) -> None:
    before = as_bytes(a), as_bytes(b)
    both = merge(a, b)
    state(both, "email", "marketing", Consent(10**15, False, "link"))
    suppress(both, "email", "new@example.com", 1, "bounced")
    record(both, Sent(10**12, "tips", "email", "snd_new"))
    assert (as_bytes(a), as_bytes(b)) == before
