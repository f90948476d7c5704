"""A journal of any bytes: recovery keeps what is whole, cuts a torn tail or stops, and hands out only whole records."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Hashable
from pathlib import Path

from actors.journal.format import HEADER_BYTES, RECORD_HEAD, SegmentHeader, record_crc
from actors.journal.recovery import WATERMARK_NAME, recover
from tests.support.shard_world import T0
from whisperer.errors import JournalDamagedError, JournalError
from whisperer.shard.records import RECORD_VERSION, Record, Tick, decode_record, encode_record

WORDS = ("UWJOURNL", "UWDURABL")
_ID = bytes(range(16))
_HEADER = SegmentHeader(_ID, 3, 0)
_MEMORY = Path("/dev/shm")  # a recovery syncs what it keeps
_FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-journal-", dir=_MEMORY if _MEMORY.is_dir() else None))
atexit.register(shutil.rmtree, _FOLDER, ignore_errors=True)
_SEGMENT = _FOLDER / f"{0:020d}-{3:010d}.journal"


def seeds() -> list[bytes]:
    tick = encode_record(Record(RECORD_VERSION, 1, T0, Tick()))
    good = _record(0, tick, first=True)
    both = good + _record(len(good), tick, first=False)
    return [b"\x00" + both, b"\x01" + tick, b"\x02" + _HEADER.encode() + both, b"\x00" + both[:-3], b"\x03" + both]


def _record(position: int, payload: bytes, *, first: bool) -> bytes:
    word = len(payload) | (first << 31)
    return RECORD_HEAD.pack(word, record_crc(_HEADER.record_seed, position, word, payload)) + payload


def attack(data: bytes) -> Hashable:
    if not data:
        return None
    how, data = data[0] % 4, data[1:]
    if how == 1:
        return _one_record(data)
    (_FOLDER / WATERMARK_NAME).unlink(missing_ok=True)
    if how == 3:
        (_FOLDER / WATERMARK_NAME).write_bytes(data[:44])
        data = data[44:]
    _SEGMENT.write_bytes(data if how == 2 else _HEADER.encode() + data)
    try:
        found = recover(_FOLDER, lambda _: None)
    except (JournalDamagedError, JournalError) as error:
        return "stopped", str(error)[-30:] if "later group" in str(error) else ""
    records = [payload for segment in found.segments for _, payload in segment.records(segment.start, found.end)]
    assert _SEGMENT.stat().st_size == HEADER_BYTES + found.end
    again = recover(_FOLDER, lambda _: None)
    assert (again.end, again.n_bytes_cut) == (found.end, 0)
    return len(records), found.n_bytes_cut > 0


def _one_record(data: bytes) -> Hashable:
    try:
        record = decode_record(data)
    except JournalDamagedError:
        return "no record"
    assert decode_record(encode_record(record)) == record
    return type(record.body).__name__
