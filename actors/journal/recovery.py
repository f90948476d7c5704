"""Recover a journal folder when it is opened: which records are there, and is any acknowledged one missing?

Decides between a torn tail, which is cut, and damage, which stops recovery. Three proofs show that a byte was durable,
so that a record that does not verify there was lost after being acknowledged:

1. it lies in a segment that is not the newest (a segment is created only once all before it is synced);
2. it lies before a valid record that starts a later group (a group is written only once the one before it is synced);
3. it lies before the watermark (written after each sync, itself not synced: it survives a killed process exactly, and
   trails by the kernel's write-back, some 30 s, after a power cut).

What none of them covers was never acknowledged, or was acknowledged moments before a power cut *and* damaged by more
than the power cut: the one case that is cut silently. Guarantees that what is kept is on the disk before it is
returned.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from actors.files.fsync import PARTIAL_SUFFIX, sync_folder
from actors.journal.format import RECORD_HEAD_BYTES, WATERMARK_BYTES, Watermark
from actors.journal.segment import READ_BYTES, SEGMENT_SUFFIX, Segment
from whisperer.errors import JournalDamagedError

WATERMARK_NAME = "durable"


@dataclass(frozen=True, slots=True)
class Recovered:
    """A folder's state after recovery.

    Attributes
    ----------
    segments : oldest first, without gaps
    end : position after the last record
    epoch : the highest epoch ever used here, 0 for none
    n_bytes_cut : length of the torn tail that was removed
    """

    segments: tuple[Segment, ...]
    end: int
    epoch: int
    n_bytes_cut: int


def recover(folder: Path, sync: Callable[[int], None]) -> Recovered:
    """Check the folder, cut a torn tail, make the rest durable. The caller holds the fence.

    Raises JournalDamagedError naming file and offset, or OSError.
    """
    for left_over in folder.glob(f"*{SEGMENT_SUFFIX}{PARTIAL_SUFFIX}"):
        left_over.unlink()
    segments = sorted((Segment.load(p) for p in folder.glob(f"*{SEGMENT_SUFFIX}")), key=lambda s: (s.epoch, s.start))
    watermark = _read_watermark(folder / WATERMARK_NAME)
    if not segments:
        if watermark is not None:
            raise JournalDamagedError(f"{folder}: every segment is missing, {watermark.durable} bytes were durable")
        return Recovered((), 0, 0, 0)

    _check_chain(segments)
    newest = segments[-1]
    known_durable, epoch = newest.start, newest.epoch
    if watermark is not None:
        if watermark.journal_id != newest.header.journal_id:
            raise JournalDamagedError(f"{folder / WATERMARK_NAME}: belongs to another journal than the segments")
        known_durable, epoch = max(known_durable, watermark.durable), max(epoch, watermark.epoch)

    end, n_bytes_cut = _cut_torn_tail(newest, known_durable)
    _make_durable(newest, known_durable, end, sync)
    return Recovered(_drop_empty(segments, folder), end, epoch, n_bytes_cut)


def _check_chain(segments: list[Segment]) -> None:
    for older, newer in itertools.pairwise(segments):
        end = older.end_of_file()
        if older.header.journal_id != newer.header.journal_id:
            raise newer.damaged(newer.start, f"this segment is of another journal than {older.path.name}: seen")
        if end < newer.start:
            raise older.damaged(end, f"{newer.start - end} bytes are missing before {newer.path.name}")
        if end > newer.start:
            raise older.damaged(
                newer.start,
                f"{end - newer.start} bytes were written after {newer.path.name} (epoch {newer.epoch}) began",
            )


def _cut_torn_tail(newest: Segment, known_durable: int) -> tuple[int, int]:
    """Remove what follows the valid records, unless it was once durable; return (end, bytes cut)."""
    file_end = newest.end_of_file()
    end = newest.start
    for position, payload in newest.records(newest.start, file_end):
        end = position + RECORD_HEAD_BYTES + len(payload)
    if end < known_durable:
        raise newest.damaged(
            end, f"no valid record, though everything before position {known_durable} was acknowledged,"
        )
    if end == file_end:
        return end, 0
    later = newest.valid_group_after(end)
    if later is not None:
        raise newest.damaged(end, f"no valid record, though a later group at position {later} proves it acknowledged,")
    os.truncate(newest.path, newest.offset_of(end))
    return end, file_end - end


def _make_durable(newest: Segment, known_durable: int, end: int, sync: Callable[[int], None]) -> None:
    """Write bytes of unknown durability again and sync them.

    Reading them proves only that they are in the page cache: after a failed fdatasync the kernel marks pages clean that
    never reached the disk, and another fdatasync would not write them.
    """
    fd = os.open(newest.path, os.O_RDWR)
    try:
        for position in range(known_durable, end, READ_BYTES):
            offset = newest.offset_of(position)
            piece = os.pread(fd, min(READ_BYTES, end - position), offset)
            if os.pwrite(fd, piece, offset) != len(piece):
                raise OSError(f"{newest.path}: short write at file offset {offset}")
        sync(fd)
    finally:
        os.close(fd)


def _drop_empty(segments: list[Segment], folder: Path) -> tuple[Segment, ...]:
    """Delete segments of incarnations that wrote no records; the newest stays, because it carries the epoch."""
    *older, newest = segments
    kept = [s for s, next_one in itertools.pairwise(segments) if s.start < next_one.start]
    for segment in older:
        if segment not in kept:
            segment.path.unlink()
    sync_folder(folder)
    return (*kept, newest)


def _read_watermark(path: Path) -> Watermark | None:
    try:
        return Watermark.decode(path.read_bytes()[: WATERMARK_BYTES + 1])
    except FileNotFoundError:
        return None
