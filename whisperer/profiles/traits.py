"""What a tenant stated about a user: a map of last-writer-wins registers.

A write carries (event time, sequence in its partition). The larger pair wins; on a tie, the larger JSON text, so that
any order
of merges ends in the same state, up to `MAX_TRAITS` names: beyond, the first come are kept. Values are kept as the
client wrote them. A null removes the trait's value but keeps its register, or an older value merged later would come
back.

Reference: Shapiro et al., "A comprehensive study of convergent and commutative replicated data types", 2011, 3.2.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

Register = tuple[int, int, bytes]
"""(event time in ms, sequence, JSON text)"""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, tuple[int, int, bytes]]).decode

MAX_TRAITS = 1_000


def merge(stored: bytes | None, writes: Iterable[tuple[str, Register]]) -> tuple[bytes | None, bool]:
    """Stored registers after ``writes``, and whether any value is another now.

    At most MAX_TRAITS names are kept, first come first served.
    """
    registers: dict[str, Register] = {} if stored is None else _decode(stored)
    changed = False
    for name, write in writes:
        held = registers.get(name)
        if held is None:
            if len(registers) < MAX_TRAITS:
                registers[name] = write
                changed = True
        elif write > held:
            registers[name] = write
            changed |= write[2] != held[2]
    return _encode(registers) if registers else None, changed


def registers_of(stored: bytes | None) -> dict[str, Register]:
    return {} if stored is None else _decode(stored)


def raw_values(stored: bytes | None) -> dict[str, msgspec.Raw]:
    """Each trait's JSON as the client wrote it; removed ones left out."""
    return {name: msgspec.Raw(text) for name, (_, _, text) in registers_of(stored).items() if text != b"null"}


def value_of(stored: bytes | None, name: str) -> Mapping[str, Any]:
    """One decoded trait, for a predicate that reads no other; nothing where it is not stated."""
    text = registers_of(stored).get(name, (0, 0, b"null"))[2]
    return {} if text == b"null" else {name: _value(text)}


def values_of(stored: bytes | None) -> Mapping[str, Any]:
    """Decoded traits, for predicates."""
    return {name: _value(text) for name, (_, _, text) in registers_of(stored).items() if text != b"null"}


def _value(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None  # a number beyond float64: stored and returned unchanged, equal to nothing in a predicate
