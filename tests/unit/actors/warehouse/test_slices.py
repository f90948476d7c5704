"""Slices of time: every row is in exactly one, in order, and none is larger than a sort can take if it can be helped."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from actors.warehouse.slices import sliced


@given(st.dictionaries(st.integers(-1_000, 1_000), st.integers(1, 500), max_size=40), st.integers(1, 300))
def test_each_second_is_in_one_slice_or_in_parts(sizes: dict[int, int], most: int) -> None:
    found = sliced(sorted(sizes.items()), most)
    places = [(one.first, one.part) for one in found]
    assert places == sorted(places)
    for second, size in sizes.items():
        its = [one for one in found if one.first <= second < one.end]
        assert [one.part for one in its] == list(range(its[0].n_parts))
        assert its[0].n_parts == max(1, -(-size // most))
        if its[0].n_parts > 1:
            assert (its[0].first, its[0].end) == (second, second + 1)
    for one in found:
        if one.n_parts == 1:
            assert sum(size for second, size in sizes.items() if one.first <= second < one.end) <= most
