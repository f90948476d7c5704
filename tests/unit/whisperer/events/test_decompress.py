"""gzip, honest and hostile."""

from __future__ import annotations

import gzip
import json
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.whisperer.events.ingesting import ingest, track
from whisperer.events.decompress import MAX_BODY_BYTES, decompress
from whisperer.events.refusals import Code, Refusal

BODY = json.dumps(track(properties={"n": "x" * 200})).encode()
ZIPPED = gzip.compress(BODY, mtime=0)


def test_gzip_is_told_by_its_magic_bytes_and_anything_else_passes() -> None:
    assert decompress(ZIPPED) == BODY
    assert decompress(BODY) is BODY
    assert decompress(b"") == b""
    assert ingest(ZIPPED).only.payload == BODY


def test_members_follow_each_other_and_padding_is_ignored() -> None:
    halves = gzip.compress(BODY[:50]) + gzip.compress(BODY[50:]) + b"\0" * 100
    assert decompress(halves) == BODY


@pytest.mark.parametrize(
    "body",
    [
        ZIPPED[:-1],
        ZIPPED[: len(ZIPPED) // 2],
        ZIPPED[:10],
        ZIPPED[:2],
        ZIPPED[:-6] + bytes([ZIPPED[-6] ^ 1]) + ZIPPED[-5:],  # CRC
        ZIPPED[:20] + b"\xff\xff\xff" + ZIPPED[23:],
        ZIPPED + b"trailing",
        gzip.compress(b"") * 65,
        zlib.compress(BODY),  # not gzip, and not JSON
    ],
)
def test_truncated_or_corrupt_gzip_is_malformed_json(body: bytes) -> None:
    got = ingest(body)
    assert (got.status, got.code) == (400, "malformed_json")


def test_the_limit_holds_before_and_after_inflation() -> None:
    fits = BODY.ljust(MAX_BODY_BYTES)
    assert decompress(gzip.compress(fits)) == fits
    for body in (gzip.compress(fits + b" "), gzip.compress(fits) + gzip.compress(b" "), b"x" * (MAX_BODY_BYTES + 1)):
        refused = decompress(body)
        assert isinstance(refused, Refusal)
        assert (refused.code, refused.status) == (Code.BODY_TOO_LARGE, 413)


def test_a_bomb_costs_no_more_memory_than_an_honest_body() -> None:
    squeezer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(squeezer.compress(bytes(1 << 20)) for _ in range(100)) + squeezer.flush()
    assert len(bomb) < MAX_BODY_BYTES
    tracemalloc.start()
    refused = decompress(bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert isinstance(refused, Refusal)
    assert refused.code == Code.BODY_TOO_LARGE
    assert peak < 4 * MAX_BODY_BYTES


@given(st.binary(max_size=300))
def test_no_bytes_make_it_raise(tail: bytes) -> None:
    for body in (tail, b"\x1f\x8b" + tail, ZIPPED[:12] + tail):
        assert isinstance(decompress(body), bytes | Refusal)


@given(st.binary(max_size=2_000))
def test_what_was_zipped_comes_back(body: bytes) -> None:
    assert decompress(gzip.compress(body)) == body
