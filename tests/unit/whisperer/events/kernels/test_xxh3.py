"""The kernels' hashes are those of the xxhash package: stored users and message ids depend on every bit."""

from __future__ import annotations

import random

import numpy as np
import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from whisperer.events.kernels.xxh3 import hash64, hash128
from whisperer.ids import key_hash, message_hash, tenant_seed

SEEDS = [0, 1, 2**63, 2**64 - 1, tenant_seed("tn_test")]


def hashed64(data: bytes, start: int, length: int, seed: int) -> int:
    return int(hash64(np.frombuffer(data, np.uint8), start, length, np.uint64(seed)))


def hashed128(data: bytes, start: int, length: int) -> int:
    low, high = hash128(np.frombuffer(data, np.uint8), start, length)
    return int(high) << 64 | int(low)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_length_up_to_three_blocks_hashes_to_the_same_64_bits(seed: int) -> None:
    data = random.Random(seed).randbytes(3_200)
    for length in range(3_150):
        assert hashed64(data, 7, length, seed) == xxhash.xxh3_64_intdigest(data[7 : 7 + length], seed), length


def test_every_length_up_to_three_blocks_hashes_to_the_same_128_bits() -> None:
    data = random.Random(1).randbytes(3_200)
    for length in range(3_150):
        assert hashed128(data, 7, length) == xxhash.xxh3_128_intdigest(data[7 : 7 + length]), length


@given(st.binary(max_size=300), st.integers(0, 2**64 - 1), st.integers(0, 20))
def test_any_slice_hashes_alike_under_any_seed(data: bytes, seed: int, start: int) -> None:
    start = min(start, len(data))
    length = len(data) - start
    assert hashed64(data, start, length, seed) == xxhash.xxh3_64_intdigest(data[start:], seed)
    assert hashed128(data, start, length) == xxhash.xxh3_128_intdigest(data[start:])


@given(st.text(max_size=120), st.integers(0, 2**64 - 1))
def test_keys_and_message_ids_hash_as_their_definitions_say(text: str, seed: int) -> None:
    data = text.encode()
    assert hashed64(data, 0, len(data), seed) == key_hash(text, seed)
    assert hashed128(data, 0, len(data)).to_bytes(16, "big") == message_hash(text)
