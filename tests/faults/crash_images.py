"""What a power cut could have left of a journal that a run has written, and what recovery must make of each image.

An image is a segment of the real folder, as of just before some group in it was synced: the watermark says so, and of
the group's own bytes all, some, or damaged ones are there. Guarantees asked of the journal: what was acknowledged before
the group is replayed, whole; of the group only whole records, from its beginning; damage before the watermark stops
recovery and names file and offset.
"""

from __future__ import annotations

import logging
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from actors.journal import FileJournal
from actors.journal.format import FIRST_OF_GROUP, HEADER_BYTES, LENGTH_MASK, RECORD_HEAD, RECORD_HEAD_BYTES, Watermark
from actors.journal.recovery import WATERMARK_NAME
from actors.journal.segment import Segment
from whisperer.errors import JournalDamagedError

MAX_GROUP_BYTES = 1_000
"""Every byte of the group is a place to cut: the newest group that is not larger is taken."""
N_DAMAGED = 100
_MEMORY = Path("/dev/shm")
_PLACE = re.compile(r"\.journal.* file offset \d+")


@dataclass(slots=True)
class Survey:
    """How many images there were of each kind; ``problems`` says which did not come out as they must."""

    n_cut: int = 0
    n_flipped: int = 0
    n_damaged: int = 0
    problems: list[str] = field(default_factory=list)

    def __add__(self, other: Survey) -> Survey:
        return Survey(
            self.n_cut + other.n_cut,
            self.n_flipped + other.n_flipped,
            self.n_damaged + other.n_damaged,
            self.problems + other.problems,
        )


def survey(folder: Path) -> Survey:
    """Try the images of one journal folder, which nobody writes to; it is left as it is."""
    image = _last_small_group(folder)
    if image is None:
        return Survey(problems=[f"{folder}: no group of at most {MAX_GROUP_BYTES} bytes to cut"])
    path, first, end = image
    header = Segment.load(path).header
    data = path.read_bytes()
    records = _records(data)
    durable = header.start + first - HEADER_BYTES
    mark = Watermark(header.journal_id, header.epoch, durable).encode()
    found = Survey()

    def whole_until(size: int) -> list[int]:
        return [record.at for record in records if record.end <= size]

    logging.getLogger("actors.journal").setLevel(logging.ERROR)  # thousands of cuts are announced
    with tempfile.TemporaryDirectory(prefix="image-", dir=_MEMORY if _MEMORY.is_dir() else None) as scratch:
        place = Path(scratch) / "image"

        def replayed(content: bytes) -> list[int] | str:
            """File offsets of the records that recovery finds, or in what words it refuses."""
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            (place / path.name).write_bytes(content)
            (place / WATERMARK_NAME).write_bytes(mark)
            try:
                with FileJournal.open(place) as journal:
                    return [HEADER_BYTES + position - header.start for position, _ in journal.replay(header.start)]
            except JournalDamagedError as error:
                return error.message

        for size in range(first, end + 1):
            found.n_cut += 1
            _expect(found, f"cut at {size}", replayed(data[:size]), whole_until(size))
        for at in range(first, end):
            found.n_flipped += 1
            said = replayed(_flipped(data[:end], at))
            _expect(found, f"bit flipped at {at}, after the watermark", said, whole_until(at))
        # Without the group behind it, only the watermark proves that what is damaged was acknowledged.
        for at in sorted({*range(0, first, max(1, first // N_DAMAGED)), *range(first - RECORD_HEAD_BYTES - 1, first)}):
            found.n_damaged += 1
            said = replayed(_flipped(data[:first], at))
            if not isinstance(said, str) or not _PLACE.search(said):
                found.problems.append(
                    f"{path.name}: a bit flipped at {at}, before the watermark, was answered {said!r}"
                )
    return found


def tear(folder: Path) -> int:
    """Leave at the journal's end what a group looks like of which the last part never reached the disk; its bytes.

    The half group is made of an earlier one: its bytes were valid, elsewhere.
    """
    path = _segments(folder)[0]
    data = path.read_bytes()
    groups = _groups(_records(data))
    piece = data[groups[-1][0] : groups[-1][1]] if groups else bytes(1_000)
    piece = piece[: max(1, len(piece) // 2)] + bytes(100)
    with path.open("ab") as file:
        file.write(piece)
    return len(piece)


def _segments(folder: Path) -> list[Path]:
    """Newest first."""
    return sorted(folder.glob("*.journal"), key=lambda path: path.stem.split("-")[::-1], reverse=True)


def _last_small_group(folder: Path) -> tuple[Path, int, int] | None:
    """(segment, first, end): every segment was the newest once."""
    for path in _segments(folder):
        groups = _groups(_records(path.read_bytes()))
        small = [group for group in groups[1:] if group[1] - group[0] <= MAX_GROUP_BYTES]
        if small:
            return path, *small[-1]
    return None


@dataclass(frozen=True, slots=True)
class _Record:
    """File offsets of one record, and whether it is its group's first."""

    at: int
    end: int
    is_first: bool


def _records(data: bytes) -> list[_Record]:
    """The records of a segment's bytes, which are taken to be sound."""
    found, at = [], HEADER_BYTES
    while at + RECORD_HEAD_BYTES <= len(data):
        word, crc = RECORD_HEAD.unpack_from(data, at)
        end = at + RECORD_HEAD_BYTES + (word & LENGTH_MASK)
        if end > len(data) or (word, crc) == (0, 0):
            break
        found.append(_Record(at, end, bool(word & FIRST_OF_GROUP)))
        at = end
    return found


def _groups(records: list[_Record]) -> list[tuple[int, int]]:
    """(first, end) file offsets of every group."""
    firsts = [record.at for record in records if record.is_first]
    return list(zip(firsts, [*firsts[1:], records[-1].end], strict=True)) if records else []


def _expect(found: Survey, what: str, said: list[int] | str, wanted: list[int]) -> None:
    if said != wanted:
        shown = said if isinstance(said, str) else f"{len(said)} records instead of {len(wanted)}"
        found.problems.append(f"{what}: {shown}")


def _flipped(data: bytes, at: int) -> bytes:
    changed = bytearray(data)
    changed[at] ^= 1 << at % 8
    return bytes(changed)
