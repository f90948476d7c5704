"""What the kernels stand on: 32 bytes looked at in one step, and kernels on disk that are renewed when they must be."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperer.events.kernels.intrinsics import (
    PADDING,
    _sources,
    byte_at,
    copy_bytes,
    kernel,
    lowest_bit,
    string_stops,
    word_at,
)


@kernel
def stops(text: Any, at: int) -> Any:
    return string_stops(text, at)


@kernel
def lowest(word: Any) -> Any:
    return lowest_bit(word)


@kernel
def looked_at(text: Any, at: int) -> Any:
    return byte_at(text, at), word_at(text, at)


@kernel
def copied(source: Any, start: int, length: int) -> Any:
    target = np.zeros(length + 2, np.uint8)
    copy_bytes(target, 1, source, start, length)
    return target


@given(st.binary(max_size=40), st.integers(0, 40))
@settings(deadline=None)
def test_a_run_of_plain_text_ends_where_a_byte_by_byte_look_says(data: bytes, at: int) -> None:
    padded = data + bytes(2 * PADDING)
    expected = [i for i, byte in enumerate(padded[at : at + 32]) if byte < 0x20 or byte >= 0x80 or byte in b'"\\']
    found = int(stops(np.frombuffer(padded, np.uint8), at))
    assert [i for i in range(32) if found >> i & 1] == expected
    if found:
        assert int(lowest(np.uint64(found))) == expected[0]


@given(st.binary(min_size=8, max_size=40), st.data())
@settings(deadline=None)
def test_bytes_and_words_are_read_and_copied_from_any_place(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) - 8))
    array = np.frombuffer(data, np.uint8)
    byte, word = looked_at(array, at)
    assert (byte, int(word)) == (data[at], int.from_bytes(data[at : at + 8], "little"))
    length = draw.draw(st.integers(0, len(data) - at))
    assert copied(array, at, length).tobytes() == b"\0" + data[at : at + length] + b"\0"


def test_a_kernel_on_disk_is_renewed_when_a_constant_of_another_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    constants, kernels = tmp_path / "whisperer_test_constants.py", tmp_path / "whisperer_test_kernels.py"
    kernels.write_text(
        "from whisperer.events.kernels.intrinsics import kernel\nfrom whisperer_test_constants import N\n\n\n"
        "@kernel\ndef number():\n    return N\n"
    )
    found = []
    for n in (1, 2, 2):
        constants.write_text(f"N = {n}\n")
        os.utime(constants, (1_000_000, 1_000_000))
        for name in ("whisperer_test_constants", "whisperer_test_kernels"):
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        sys.dont_write_bytecode, kept = True, sys.dont_write_bytecode
        _sources.cache_clear()
        try:
            module = importlib.import_module("whisperer_test_kernels")
        finally:
            sys.dont_write_bytecode = kept
        found.append((module.number(), sum(module.number.stats.cache_hits.values())))
    assert found == [(1, 0), (2, 0), (2, 1)]
