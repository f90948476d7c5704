"""Hostile bodies cost memory and work in proportion to their size, which is bounded."""

from __future__ import annotations

import gzip
import sys
import tracemalloc

import pytest

from tests.unit.whisperer.events.ingesting import ingest
from whisperer.events.decompress import MAX_BODY_BYTES
from whisperer.events.place import known_place

FILL = MAX_BODY_BYTES - 200
HOSTILE = {
    "nested arrays": b'{"properties":' + b"[" * FILL,
    "nested arrays, closed": b'{"properties":' + b"[" * (FILL // 2) + b"]" * (FILL // 2) + b"}",
    "nested objects": b'{"a":' * (FILL // 5),
    "nested in a batch": b'{"batch":[{"type":"track","a":' + b"[" * (FILL // 2) + b"]" * (FILL // 2) + b"}]}",
    "flat brackets": b'{"batch":[' + b"[]," * (FILL // 3) + b"[]]}",
    "brackets in a string": b'{"event":"E","userId":"u","p":"' + b"[" * FILL + b'"}',
    "escapes": b'{"event":"E","userId":"u","p":"' + rb"\\" * (FILL // 2) + b'"}',
    "lone surrogates": b'{"event":"E","userId":"u","p":"' + rb"\ud800" * (FILL // 6) + b'"}',
    "tiny events": b'{"batch":[' + b"1," * (FILL // 2) + b"1]}",
    "one long number": b'{"event":"E","userId":' + b"9" * FILL + b"}",
    "a long exponent": b'{"event":"E","userId":1e' + b"9" * FILL + b"}",
    "repeated keys": b"{" + b'"a":1,' * (FILL // 6) + b'"a":1}',
    "many keys": b"{" + b",".join(b'"%x":1' % i for i in range(40_000)) + b"}",
    "whitespace": b" " * FILL,
    "a string never closed": b'{"a":"' + b"x" * FILL,
    "rejects": b'{"batch":[' + b"{}," * 2_499 + b"{}]}",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("route", ["track", "batch"])
def test_a_hostile_body_is_refused_in_bounded_memory(body: bytes, route: str) -> None:
    assert len(body) <= MAX_BODY_BYTES
    ingest(b"{}", route)  # first use loads tables
    tracemalloc.start()
    got = ingest(body, route)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert got.status in (400, 413)
    assert peak < 100 * MAX_BODY_BYTES
    assert ingest(gzip.compress(body), route).code == got.code


def test_the_interpreters_recursion_limit_is_left_alone() -> None:
    limit = sys.getrecursionlimit()
    ingest(HOSTILE["nested arrays, closed"])
    assert sys.getrecursionlimit() == limit


def test_strange_places_do_not_pile_up() -> None:
    for i in range(6_000):
        known_place(f"Nowhere/{i}", f"de-x-{i}")
    info = known_place.cache_info()
    assert info.maxsize is not None
    assert info.currsize <= info.maxsize <= 4_096
