"""Read and write Universal Binary JSON as far as XGBoost does; its numbers are big-endian.

XGBoost's own parser trusts its input. This one checks it first: every length is compared with the bytes that are left,
nesting and the number of values are bounded, and unknown types are refused. Arrays of one numeric type become numpy
arrays without a copy.

References
----------
Universal Binary JSON Specification, draft 12.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from whisperer.models.errors import ArtifactError

MAX_DEPTH = 32
MAX_VALUES = 5_000_000
"""Arrays of one type count as one value."""

_NUMBERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_KINDS = {dtype: kind for kind, dtype in _NUMBERS.items()}
_CONSTANTS = {b"Z": None, b"T": True, b"F": False}


def decode(data: bytes) -> dict[str, Any]:
    """Return the document, an object. Raises ArtifactError (`broken_model`)."""
    reader = _Reader(data)
    try:
        found = reader.value(reader.take(1), 0)
    except (UnicodeDecodeError, struct.error) as error:
        raise _broken(str(error)) from None
    if reader.at != len(data):
        raise _broken(f"{len(data) - reader.at} bytes after the end")
    if not isinstance(found, dict):
        raise _broken("not an object")
    return found


def encode(value: Any) -> bytes:
    """Encode objects, lists, texts, whole numbers, and numpy arrays of the types above: nothing else is needed."""
    if isinstance(value, dict):
        return b"{" + b"".join(_length(key) + encode(part) for key, part in value.items()) + b"}"
    if isinstance(value, np.ndarray):
        kind = _KINDS[value.dtype.newbyteorder(">").str.replace("|", ">")]
        return b"[$" + kind + b"#L" + struct.pack(">q", len(value)) + value.tobytes()
    if isinstance(value, list):
        return b"[#L" + struct.pack(">q", len(value)) + b"".join(map(encode, value))
    if isinstance(value, str):
        return b"S" + _length(value)
    return b"L" + struct.pack(">q", value)


def _length(text: str) -> bytes:
    encoded = text.encode()
    return b"L" + struct.pack(">q", len(encoded)) + encoded


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._n_values = 0
        self.at = 0

    def take(self, n: int) -> bytes:
        if n < 0 or n > len(self._data) - self.at:
            raise _broken(f"cut off at byte {self.at}")
        self.at += n
        return self._data[self.at - n : self.at]

    def value(self, kind: bytes, depth: int) -> Any:
        self._n_values += 1
        if depth > MAX_DEPTH or self._n_values > MAX_VALUES:
            raise _broken("nested too deep, or too many values")
        if kind == b"{":
            return self._object(depth)
        if kind == b"[":
            return self._array(depth)
        if kind == b"S":
            return self._text()
        if kind in _CONSTANTS:
            return _CONSTANTS[kind]
        return self._numbers(kind, 1)[0].item()

    def _numbers(self, kind: bytes, n: int) -> Any:
        if kind not in _NUMBERS:
            raise _broken(f"unknown type {kind!r} at byte {self.at}")
        dtype = np.dtype(_NUMBERS[kind])
        return np.frombuffer(self.take(n * dtype.itemsize), dtype)

    def _length(self) -> int:
        kind = self.take(1)
        found = self._numbers(kind, 1)[0].item()
        if kind in (b"d", b"D") or found < 0:
            raise _broken(f"no length at byte {self.at}")
        return int(found)

    def _text(self) -> str:
        return self.take(self._length()).decode()

    def _object(self, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while (at := self.take(1)) != b"}":
            self.at -= len(at)
            key = self._text()
            if key in found:
                raise _broken(f"the key {key[:80]!r} twice")
            found[key] = self.value(self.take(1), depth + 1)
        return found

    def _array(self, depth: int) -> Any:
        mark = self.take(1)
        kind = b""
        if mark == b"$":
            kind, mark = self.take(1), self.take(1)
            if mark != b"#":
                raise _broken(f"an array of one type without a length at byte {self.at}")
        if mark == b"#":
            n = self._length()
            if kind:
                return self._numbers(kind, n)
            if n > len(self._data) - self.at:  # each value takes at least a byte
                raise _broken(f"cut off at byte {self.at}")
            return [self.value(self.take(1), depth + 1) for _ in range(n)]
        found = []
        while mark != b"]":
            found.append(self.value(mark, depth + 1))
            mark = self.take(1)
        return found


def _broken(why: str) -> ArtifactError:
    return ArtifactError(f"broken UBJSON: {why}", code="broken_model")
