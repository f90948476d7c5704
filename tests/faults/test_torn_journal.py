"""Crash images of a journal folder: what may be cut, and what must stop recovery.

An image is made of real files: those of a journal after an acknowledged group, and those after one more group whose
acknowledgement the writer never gave. Between the two lies everything a power cut can leave.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.journal import FileJournal
from actors.journal.format import HEADER_BYTES, RECORD_HEAD_BYTES
from actors.journal.recovery import WATERMARK_NAME
from whisperer.errors import JournalDamagedError

ACKNOWLEDGED = [[b"first"], [b"", b"second", b"\x80" * 40], [b"third " * 5, b"fourth"]]
UNACKNOWLEDGED = [b"lost?", b"", b"perhaps " * 4]

Records = list[tuple[int, bytes]]


@dataclass
class Scene:
    """A journal at rest just before and just after a group that was never acknowledged."""

    before: Path
    after: Path
    acknowledged: Records
    unacknowledged: Records

    @property
    def durable(self) -> int:
        return self.unacknowledged[0][0]

    @property
    def end(self) -> int:
        position, record = self.unacknowledged[-1]
        return position + RECORD_HEAD_BYTES + len(record)

    def image(self, tail: bytes, watermark: bool = True) -> Path:
        """The acknowledged bytes followed by ``tail``, in a folder of its own."""
        folder = self.before.with_name("image")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.before, folder)
        with newest_segment(folder).open("ab") as file:
            file.write(tail)
        if not watermark:
            (folder / WATERMARK_NAME).unlink()
        return folder

    def tail(self) -> bytes:
        """The unacknowledged group as it was written."""
        segment = newest_segment(self.after)
        return segment.read_bytes()[newest_segment(self.before).stat().st_size :]

    def whole_records(self, n_bytes: int) -> int:
        """How many records of the unacknowledged group lie within its first n bytes."""
        return sum(p + RECORD_HEAD_BYTES + len(r) - self.durable <= n_bytes for p, r in self.unacknowledged)


def newest_segment(folder: Path) -> Path:
    return max(folder.glob("*.journal"))


def flip(path: Path, offset: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)


def opened_records(folder: Path) -> Records:
    """What an opener replays; then checks that the journal goes on from there."""
    with FileJournal.open(folder) as journal:
        records = list(journal.replay())
        (position,) = journal.append([b"goes on"])
    with FileJournal.open(folder) as journal:
        assert list(journal.replay()) == [*records, (position, b"goes on")]
    return records


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    live, before, after = tmp_path / "live", tmp_path / "before", tmp_path / "after"
    with FileJournal.open(live, segment_bytes=1 << 20) as journal:
        acknowledged: Records = []
        for group in ACKNOWLEDGED:
            acknowledged += zip(journal.append(group), group, strict=True)
        shutil.copytree(live, before)
        unacknowledged = list(zip(journal.append(UNACKNOWLEDGED), UNACKNOWLEDGED, strict=True))
        shutil.copytree(live, after)
    return Scene(before, after, acknowledged, unacknowledged)


@pytest.mark.parametrize("watermark", [True, False], ids=["with-watermark", "without-watermark"])
def test_a_tail_torn_at_any_byte_is_cut_to_its_whole_records(scene: Scene, watermark: bool) -> None:
    tail = scene.tail()
    for n_bytes in range(len(tail) + 1):
        records = opened_records(scene.image(tail[:n_bytes], watermark))
        assert records == scene.acknowledged + scene.unacknowledged[: scene.whole_records(n_bytes)]


def test_a_file_that_grew_without_its_data_is_cut(scene: Scene) -> None:
    for n_bytes in (1, 4, 8, 9, 4096, 70_000):
        assert opened_records(scene.image(bytes(n_bytes))) == scene.acknowledged


def test_any_bit_flipped_in_the_unacknowledged_tail_cuts_from_that_record_on(scene: Scene) -> None:
    tail = scene.tail()
    for offset in range(len(tail)):
        torn = bytearray(tail)
        torn[offset] ^= 1 << offset % 8
        records = opened_records(scene.image(bytes(torn)))
        assert records == scene.acknowledged + scene.unacknowledged[: scene.whole_records(offset)]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    pieces=st.lists(st.sampled_from(["written", "zeros", "noise"]), min_size=1, max_size=12),
    watermark=st.booleans(),
    more=st.binary(max_size=50),
)
def test_pages_of_one_group_may_reach_the_disk_in_any_order(
    scene: Scene, pieces: list[str], watermark: bool, more: bytes
) -> None:
    """A later record of the torn group is valid while an earlier one is not: still no damage, nothing was promised."""
    tail = scene.tail()
    size = -(-len(tail) // len(pieces))
    torn, intact = b"", True
    n_intact = 0
    for n, piece in enumerate(pieces):
        chunk = tail[n * size : (n + 1) * size]
        torn += {"written": chunk, "zeros": bytes(len(chunk)), "noise": bytes(b ^ 0xA5 for b in chunk)}[piece]
        intact = intact and torn == tail[: len(torn)]
        n_intact = len(torn) if intact else n_intact
    if torn == tail:
        torn += more
    records = opened_records(scene.image(torn, watermark))
    n_kept = len(records) - len(scene.acknowledged)
    assert n_kept >= scene.whole_records(n_intact)
    assert records == scene.acknowledged + scene.unacknowledged[:n_kept]


def test_a_bit_flipped_anywhere_before_the_watermark_stops_recovery(scene: Scene) -> None:
    segment_size = newest_segment(scene.before).stat().st_size
    for offset in range(segment_size):
        folder = scene.image(b"")
        flip(newest_segment(folder), offset, offset % 8)
        with pytest.raises(JournalDamagedError, match=r"\.journal.* file offset \d+"):
            FileJournal.open(folder)


def test_a_later_group_proves_damage_without_a_watermark(scene: Scene) -> None:
    segment_size = newest_segment(scene.before).stat().st_size
    for offset in range(segment_size):
        folder = scene.image(scene.tail(), watermark=False)
        flip(newest_segment(folder), offset, offset % 8)
        with pytest.raises(JournalDamagedError, match=r"\.journal.* file offset \d+"):
            FileJournal.open(folder)


def test_the_report_names_the_file_and_the_offset_of_the_first_bad_record(scene: Scene) -> None:
    folder = scene.image(scene.tail())
    position, record = scene.acknowledged[2]
    flip(newest_segment(folder), HEADER_BYTES + position + RECORD_HEAD_BYTES + len(record) - 1)
    with pytest.raises(JournalDamagedError) as raised:
        FileJournal.open(folder)
    assert str(newest_segment(folder)) in raised.value.message
    assert f"file offset {HEADER_BYTES + position} " in raised.value.message


def test_refusing_changes_no_byte_and_lets_the_fence_go(scene: Scene) -> None:
    folder = scene.image(scene.tail())
    flip(newest_segment(folder), HEADER_BYTES + 3)
    held = {path.name: path.read_bytes() for path in folder.glob("*.journal")}
    for _ in range(2):
        with pytest.raises(JournalDamagedError):
            FileJournal.open(folder)
    assert {path.name: path.read_bytes() for path in folder.glob("*.journal")} == held


def test_acknowledged_bytes_missing_from_the_end_stop_recovery(scene: Scene) -> None:
    size = newest_segment(scene.before).stat().st_size
    for n_bytes in range(HEADER_BYTES, size):
        folder = scene.image(b"")
        with newest_segment(folder).open("rb+") as file:
            file.truncate(n_bytes)
        with pytest.raises(JournalDamagedError):
            FileJournal.open(folder)


def test_a_damaged_watermark_is_no_reason_to_stop(scene: Scene) -> None:
    for offset in range((scene.before / WATERMARK_NAME).stat().st_size):
        folder = scene.image(scene.tail())
        flip(folder / WATERMARK_NAME, offset)
        assert opened_records(folder) == scene.acknowledged + scene.unacknowledged


def test_a_payload_that_imitates_a_record_does_not_pass_for_one(tmp_path: Path) -> None:
    """Bytes of a real group, sent by a client inside a payload, prove nothing when the group around them is torn."""
    with FileJournal.open(tmp_path / "j") as journal:
        journal.append([b"x" * 50])
        bait = newest_segment(tmp_path / "j").read_bytes()[HEADER_BYTES:]
        end = journal.end
        journal.append([bait * 3, bait])
    segment = newest_segment(tmp_path / "j")
    segment.write_bytes(segment.read_bytes()[:-1])
    flip(segment, HEADER_BYTES + end + 4)
    (tmp_path / "j" / WATERMARK_NAME).unlink()
    assert [record for _, record in opened_records(tmp_path / "j")] == [b"x" * 50]


@pytest.fixture
def segmented(tmp_path: Path) -> Path:
    """Five closed segments over two epochs, and the open one."""
    for _ in range(2):
        with FileJournal.open(tmp_path / "j", segment_bytes=1) as journal:
            for n in range(3):
                journal.append([b"record %d" % n])
    return tmp_path / "j"


def test_a_bit_flipped_in_an_older_segment_stops_the_open_or_the_replay(segmented: Path) -> None:
    for path in sorted(segmented.glob("*.journal"))[:-1]:
        for offset in range(path.stat().st_size):
            flip(path, offset, offset % 8)
            with pytest.raises(JournalDamagedError, match=path.name):
                read_all(segmented)
            flip(path, offset, offset % 8)
    assert len(read_all(segmented)) == 6


def read_all(folder: Path) -> Records:
    with FileJournal.open(folder) as journal:
        return list(journal.replay())


def test_a_flip_in_a_record_read_by_position_is_reported(segmented: Path) -> None:
    with FileJournal.open(segmented) as journal:
        position = next(p for p, _ in journal.replay())
        flip(min(segmented.glob("*.journal")), HEADER_BYTES + RECORD_HEAD_BYTES)
        with pytest.raises(JournalDamagedError, match="file offset"):
            journal.read(position)


def test_a_missing_segment_stops_recovery_unless_it_was_the_oldest(segmented: Path) -> None:
    paths = sorted(segmented.glob("*.journal"))
    for missing in paths[1:]:
        data = missing.read_bytes()
        missing.unlink()
        with pytest.raises(JournalDamagedError):
            FileJournal.open(segmented)
        missing.write_bytes(data)
    paths[0].unlink()  # what a trim does
    with FileJournal.open(segmented) as journal:
        assert len(list(journal.replay(journal.oldest))) == 5


def test_losing_every_segment_stops_recovery(segmented: Path) -> None:
    for path in segmented.glob("*.journal"):
        path.unlink()
    with pytest.raises(JournalDamagedError, match="every segment is missing"):
        FileJournal.open(segmented)


def test_a_segment_of_another_journal_stops_recovery(segmented: Path, tmp_path: Path) -> None:
    with FileJournal.open(tmp_path / "other", segment_bytes=1) as other:
        for n in range(6):
            other.append([b"record %d" % (n % 3)])
    with FileJournal.open(tmp_path / "other"):
        pass
    stranger = newest_segment(tmp_path / "other")
    shutil.copy(stranger, segmented / stranger.name.replace("0000000002", "0000000009"))
    with pytest.raises(JournalDamagedError):
        FileJournal.open(segmented)


def test_writing_in_an_old_segment_after_a_newer_epoch_began_is_detected(segmented: Path) -> None:
    """What two writers without a working fence would leave."""
    first_epoch = [p for p in sorted(segmented.glob("*.journal")) if p.name.endswith("-0000000001.journal")]
    with first_epoch[-1].open("ab") as file:
        file.write(b"zombie")
    with pytest.raises(JournalDamagedError, match="were written after"):
        FileJournal.open(segmented)


def test_a_segment_whose_creation_was_interrupted_is_forgotten(segmented: Path) -> None:
    for n_bytes in (0, 10, HEADER_BYTES):
        half = segmented / "00000000000000009999-0000000009.journal.partial"
        half.write_bytes(newest_segment(segmented).read_bytes()[:n_bytes])
        assert len(read_all(segmented)) == 6
        assert not half.exists()


def test_empty_incarnations_do_not_pile_up_files(tmp_path: Path) -> None:
    for _ in range(10):
        FileJournal.open(tmp_path / "j").close()
    assert len(list((tmp_path / "j").glob("*.journal"))) <= 2
