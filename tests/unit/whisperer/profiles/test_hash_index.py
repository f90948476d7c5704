"""The index behaves as a dict that numbers its keys."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperer.profiles.hash_index import HashIndex


@settings(deadline=None, max_examples=60)
@given(
    words=st.sampled_from([1, 2]),
    batches=st.lists(st.lists(st.integers(0, 60), max_size=80), max_size=12),
    spread=st.sampled_from([1, 1 << 32, (1 << 57) + 1]),
)
def test_each_key_has_one_slot_and_is_new_once(words: int, batches: list[list[int]], spread: int) -> None:
    index = HashIndex(words)
    known: dict[int, int] = {}
    for batch in batches:
        keys = np.array([[k * spread % 2**64] * words for k in batch], np.uint64).reshape(-1, words)
        slots, is_new = index.upsert(keys)
        for key, slot, new in zip(batch, slots.tolist(), is_new.tolist(), strict=True):
            assert new == (key not in known)
            assert known.setdefault(key, slot) == slot
        assert sorted(known.values()) == list(range(len(known))) == list(range(len(index)))
        assert index.find(keys).tolist() == slots.tolist()
    absent = np.full((1, words), 2**64 - 7, np.uint64)
    assert index.find(absent).tolist() == [-1]


@pytest.mark.parametrize("words", [1, 2])
def test_it_grows_to_many_keys_and_keeps_only_what_it_is_told(words: int) -> None:
    keys = np.random.default_rng(1).integers(0, 2**63, (20_000, words)).astype(np.uint64)
    index = HashIndex(words)
    for start in range(0, len(keys), 500):
        _, is_new = index.upsert(keys[start : start + 500])
        assert is_new.all()
    stored = index.keys[: len(index)].copy()
    mask = np.arange(len(index)) % 3 == 0
    index.keep(mask)
    assert (index.find(stored[mask]) == np.arange(mask.sum())).all()
    assert (index.find(stored[~mask]) == -1).all()
    assert index.nbytes / len(index) < 8 * words + 9


def test_keys_that_are_much_alike_are_still_told_apart() -> None:
    index = HashIndex(2)
    keys = np.stack([np.zeros(300, np.uint64), np.arange(300, dtype=np.uint64) << np.uint64(33)], axis=1)
    slots, _ = index.upsert(keys)
    assert len(set(slots.tolist())) == 300
    assert (index.find(keys) == slots).all()
