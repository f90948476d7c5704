"""A body of every kind, made from its fields, and a journal that has every kind in it.

`python -m tests.unit.registries.record_cases` adds new kinds and new fields to `tests/golden/records.json`. What is
there stays: journals on disk were written so.
"""

from __future__ import annotations

import json
import types
import typing
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from whisperer.events.block import encode_block
from whisperer.events.parts import PartBuilder, merge
from whisperer.shard.records import (
    RECORD_VERSION,
    ErasureDone,
    Letter,
    Record,
    RecordBody,
    ShardClosed,
    decode_record,
)

ROOT = Path(__file__).parents[2] / "golden"
GOLDEN = ROOT / "records.json"
TENANT = "tn_test"

RECORDS: tuple[type[Any], ...] = get_args(RecordBody)
LETTERS: tuple[type[Any], ...] = get_args(get_type_hints(Letter)["body"])
NAMED = {"anonymous": "a:dev", "user": "u:ann", "origin": "u:old", "previous": "u:old", "key": "u:ann", "was": "u:bob"}
"""Field -> a text that fits it."""
BYTES = {"block": encode_block(merge(TENANT, [PartBuilder().build()])), "engagement": b"", "traits": b'"pro"'}
"""Field -> what its bytes encode."""


def example(kind: Any, name: str = "") -> Any:
    """Return a value of a type: a struct with all of its fields given, or the smallest value that is not empty."""
    kind = getattr(kind, "__supertype__", kind)  # of a NewType
    if isinstance(kind, types.UnionType):
        return example(get_args(kind)[0], name)
    origin, inside = typing.get_origin(kind), get_args(kind)
    if origin is list:
        return [example(inside[0], name)]
    if origin is tuple:
        return tuple(example(each, name) for each in inside)
    if origin is dict:
        return {example(inside[0], name): example(inside[1], name)}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = get_type_hints(kind)
        return kind(**{field: example(hints[field], field) for field in kind.__struct_fields__})
    if isinstance(kind, type) and issubclass(kind, Enum):
        return next(iter(kind))
    if isinstance(kind, type) and issubclass(kind, tuple):  # a named one
        return kind(**{field: example(each, field) for field, each in get_type_hints(kind).items()})
    if kind is bytes:
        return BYTES.get(name, b"\x00\x01")
    if kind is str:
        return TENANT if name == "tenant" else NAMED.get(name, "x")
    return {int: 1, float: 0.5, bool: True}[kind]


def record(body: Any, now: int = 1) -> Record:
    return Record(RECORD_VERSION, 1, now, body)


def journal() -> list[Record]:
    """The journal of the newest version, then what it has no example of."""
    written = msgspec.msgpack.decode(
        (ROOT / "shard" / f"journal-v{RECORD_VERSION}.msgpack").read_bytes(), type=list[bytes]
    )
    records = [decode_record(data) for data in written]
    erased = [record.body for record in records if type(record.body).__name__ == "Erase"]
    later = [ErasureDone(erased[0].tenant, erased[0].key), ShardClosed()]
    return [*records, *(Record(RECORD_VERSION, 1, records[-1].now, body) for body in later)]


def shapes() -> dict[str, dict[str, Any]]:
    """``records`` and ``letters``: name -> tag, and fields in order."""
    return {
        group: {
            kind.__name__: {"tag": kind.__struct_config__.tag, "fields": list(kind.__struct_fields__)} for kind in kinds
        }
        for group, kinds in (("records", RECORDS), ("letters", LETTERS))
    }


def released() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    return found


def write() -> None:
    GOLDEN.write_text(json.dumps(shapes(), indent=1) + "\n")


if __name__ == "__main__":
    write()
