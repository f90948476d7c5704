"""A user's traits are bounded, and a write costs what it writes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperer.profiles import pages, traits
from whisperer.profiles.pages import PAGE_BYTES, Register, Stored, registers_of
from whisperer.profiles.traits import FULL, JOINED, MAX_BYTES, MAX_NAME, MAX_NAMES, MAX_VALUE, STATED, TOO_LONG, Values

REGISTERS = st.tuples(st.integers(0, 3), st.integers(0, 3), st.binary(min_size=1, max_size=600))
WRITES = st.lists(st.tuples(st.text(max_size=3), REGISTERS), max_size=40)
"""Of values so large that pages are divided."""


def full(prefix: str = "n", at: int = 1, value: bytes = b'"' + 40 * b"x" + b'"') -> Stored:
    """A profile into which no further name fits."""
    writes = [(f"{prefix}{i:04}", (at, i, value)) for i in range(MAX_NAMES)]
    return traits.write(None, writes, STATED).stored


def join(stored: Stored, other: Stored) -> traits.Written:
    return traits.write(stored, registers_of(other).items(), JOINED)


@settings(deadline=None)
@given(writes=WRITES)
def test_however_a_profile_is_divided_it_holds_what_was_written(writes: list[tuple[str, Register]]) -> None:
    wanted: dict[str, Register] = {}
    one_by_one: Stored = None
    for name, register in writes:
        wanted[name] = max(wanted.get(name, register), register)
        one_by_one = traits.write(one_by_one, [(name, register)], STATED).stored
    at_once = traits.write(None, writes, STATED).stored
    for stored in (one_by_one, at_once, pages.divided(pages.joined(at_once) or b"\x80")):
        assert list(registers_of(stored).items()) == sorted(wanted.items())
        assert all(pages.find(stored, name) == register for name, register in wanted.items())
        assert pages.find(stored, "never") is None
        assert pages.n_names_of(stored) == len(wanted)
        assert pages.n_bytes_of(stored) == sum(pages.size_of(*item) for item in wanted.items())
        encoded = pages.joined(stored)
        assert pages.length_of(stored) == len(encoded or b"")
        assert (msgspec.msgpack.decode(encoded) if encoded else {}).keys() == wanted.keys()


def test_pages_stay_small_so_that_a_write_decodes_little() -> None:
    stored = full()
    assert isinstance(stored, pages.Pages)
    assert max(map(len, stored.maps)) <= PAGE_BYTES
    one = traits.write(stored, [("n0500", (2, 0, b"1"))], STATED).stored
    assert isinstance(one, pages.Pages)
    assert sum(a is not b for a, b in zip(stored.maps, one.maps, strict=True)) == 1


def test_a_new_name_is_refused_when_a_profile_is_full_and_held_ones_go_on() -> None:
    stored = full()
    done = traits.write(
        stored, [("new", (9, 9, b"1")), ("n0001", (9, 9, b'"a longer value than it had, much longer"'))], STATED
    )
    assert (done.refused, done.changed) == ({FULL: 1}, {"n0001"})
    assert Values(done.stored).get("new") is None
    assert Values(done.stored)["n0001"].startswith(b'"a longer')
    assert pages.n_bytes_of(stored) <= MAX_BYTES


def test_names_and_values_have_a_length() -> None:
    writes = [(MAX_NAME * "n", (1, 1, b"1")), (MAX_NAME * "n" + "n", (1, 1, b"1")), ("v", (1, 1, MAX_VALUE * b"1"))]
    done = traits.write(None, [*writes, ("w", (1, 1, MAX_VALUE * b"1" + b"1"))], STATED)
    assert done.refused == {TOO_LONG: 2}
    assert sorted(registers_of(done.stored)) == [MAX_NAME * "n", "v"]


def test_what_is_refused_leaves_the_rest_of_the_event() -> None:
    done = traits.write(None, [("a", (1, 1, b"1")), ("b", (1, 1, MAX_VALUE * b"22")), ("c", (1, 1, b"3"))], STATED)
    assert dict(Values(done.stored)) == {"a": b"1", "c": b"3"}


def test_two_full_profiles_are_joined_whole_in_either_order() -> None:
    one, other = full("a"), full("b")
    joined = join(one, other)
    assert not joined.refused
    assert (
        registers_of(joined.stored) == registers_of(join(other, one).stored) == registers_of(one) | registers_of(other)
    )


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_parts_that_fit_are_the_same_whole_in_any_order(data: st.DataObject) -> None:
    parts = [traits.write(None, data.draw(WRITES), STATED).stored for _ in range(4)]
    wholes = []
    for _ in range(2):
        whole: Stored = None
        for part in data.draw(st.permutations(parts)):
            whole = join(whole, part).stored
        wholes.append(registers_of(whole))
    assert wholes[0] == wholes[1]


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(5)))
def test_nothing_makes_a_profile_larger_than_two_full_ones_and_the_newest_stay(order: list[int]) -> None:
    parts = [full(f"p{i}", at=i) for i in range(5)]
    whole: Stored = None
    n_refused = 0
    for i in order:
        done = join(whole, parts[i])
        whole, n_refused = done.stored, n_refused + done.refused.get(FULL, 0)
    assert pages.n_bytes_of(whole) <= 2 * MAX_BYTES
    assert pages.n_names_of(whole) <= 2 * MAX_NAMES
    assert pages.n_names_of(whole) + n_refused == sum(map(pages.n_names_of, parts))
    newest = registers_of(parts[4])
    assert newest.items() <= registers_of(whole).items()


def test_a_profile_from_before_the_bound_is_cut_to_its_newest_traits_when_it_is_next_written_to() -> None:
    writes = [(f"n{i:04}", (i, 0, 30_000 * b"1")) for i in range(100)]
    old = traits.write(None, writes, traits.UNBOUNDED).stored
    assert pages.n_bytes_of(old) > 3_000_000
    done = traits.write(old, [("n0099", (200, 0, b"2"))], STATED)
    assert sorted(registers_of(done.stored)) == ["n0096", "n0097", "n0098", "n0099"]
    assert done.refused == {FULL: 96}
    assert "n0000" in done.changed
    assert pages.n_bytes_of(done.stored) <= 2 * MAX_BYTES


small_writes = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "n" * 200, "n" * 201]),
        st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from([b"null", b"1", b'"x"', b"2" * 300])),
    ),
    max_size=6,
)


@given(st.lists(small_writes, max_size=4), st.sampled_from([traits.STATED, traits.JOINED, traits.UNBOUNDED]))
def test_a_small_profile_is_written_as_a_large_one_would_be(rounds: list[Any], rule: traits.TraitBounds) -> None:
    small = large = None
    for writes in rounds:
        quick = traits.write(small, writes, rule)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(traits, "fits_a_page", lambda *_: False)
            slow = traits.write(large, writes, rule)
        assert (quick.stored, quick.changed, quick.refused) == (slow.stored, slow.changed, slow.refused)
        small, large = quick.stored, slow.stored
