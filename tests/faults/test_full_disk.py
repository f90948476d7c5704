"""A disk that refuses: the journal dies at once, nothing it refused comes back, and recovery goes on from the last ack.

The refusals are the kernel's own: a file size limit (no root needed) and, where a user may mount one, a full tmpfs. Only
a failed fdatasync is a stand-in: no disk fails on request.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actors.journal import FileJournal
from whisperer.errors import JournalError, TooLargeError

WRITE_UNTIL_REFUSED = """
import json, resource, sys
from actors.journal import FileJournal
from whisperer.errors import JournalError

folder, limit_bytes, segment_bytes = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
journal = FileJournal.open(folder, segment_bytes=segment_bytes)
if limit_bytes:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
acknowledged, refusal = [], None
for n in range(10_000):
    try:
        acknowledged += journal.append([bytes([n % 256]) * 3000, b"second of group %d" % n])
    except JournalError as error:
        refusal = error.message
        break
again = None
try:
    journal.append([b"x"])
except JournalError as error:
    again = error.code
replayed = [position for position, _ in journal.replay()]
print(json.dumps({"acknowledged": acknowledged, "refusal": refusal, "again": again, "replayed": replayed}))
"""


def write_until_refused(folder: Path, limit_bytes: int, segment_bytes: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", WRITE_UNTIL_REFUSED, str(folder), str(limit_bytes), str(segment_bytes)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout.splitlines()[-1]))


def test_a_write_the_kernel_cuts_short_poisons_the_journal_and_leaves_no_half_group(tmp_path: Path) -> None:
    folder = tmp_path / "j"
    told = write_until_refused(folder, limit_bytes=100_000, segment_bytes=1 << 20)
    assert len(told["acknowledged"]) > 20
    assert "was not stored" in told["refusal"]
    assert told["again"] == "journal_failed"
    assert told["replayed"] == told["acknowledged"]
    with FileJournal.open(folder) as journal:
        assert [position for position, _ in journal.replay()] == told["acknowledged"]
        assert journal.n_bytes_cut == 0, "the dying writer had cut its own half group"
        journal.append([b"goes on"])


SMALL_DISK = """
set -e
mount -t tmpfs -o size=400k tmpfs "$1"
"$2" -c "$3" "$1/j" 0 "$4"
cp -a "$1/j" "$5"
"""


@pytest.mark.parametrize("segment_bytes", [1 << 20, 20_000], ids=["while-writing", "while-rolling"])
def test_a_full_disk_loses_nothing_acknowledged(tmp_path: Path, segment_bytes: int) -> None:
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode:
        pytest.skip("a tmpfs of our own needs unprivileged user namespaces (unshare -rm)")
    disk, rescued = tmp_path / "disk", tmp_path / "rescued"
    disk.mkdir()
    arguments = [str(disk), sys.executable, WRITE_UNTIL_REFUSED, str(segment_bytes), str(rescued)]
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", SMALL_DISK, "sh", *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert "No space left" in told["refusal"] or "short write" in told["refusal"]
    assert told["replayed"] == told["acknowledged"]
    with FileJournal.open(rescued) as journal:
        assert [position for position, _ in journal.replay()] == told["acknowledged"]


class FailingDisk:
    """fdatasync that fails at the n-th call, as a dying disk makes it fail once and then 'succeed'."""

    def __init__(self, fails_at: int) -> None:
        self.n_calls = 0
        self.fails_at = fails_at

    def __call__(self, fd: int) -> None:
        self.n_calls += 1
        if self.n_calls == self.fails_at:
            raise OSError(errno.EIO, "Input/output error")
        os.fdatasync(fd)


def test_a_failed_fdatasync_kills_the_journal_although_the_next_would_succeed(tmp_path: Path) -> None:
    disk = FailingDisk(fails_at=3)
    journal = FileJournal.open(tmp_path / "j", sync=disk)
    kept = journal.append([b"one"]) + journal.append([b"two"])
    end = journal.end
    with pytest.raises(JournalError, match="Input/output error"):
        journal.append([b"lost"])
    for _ in range(3):
        with pytest.raises(JournalError, match="accepts nothing more"):
            journal.append([b"must not be taken"])
        with pytest.raises(JournalError, match="accepts nothing more"):
            journal.roll()
    assert disk.n_calls == 3
    assert journal.end == end
    assert [position for position, _ in journal.replay()] == kept
    journal.close()
    with FileJournal.open(tmp_path / "j") as again:
        assert [record for _, record in again.replay()] == [b"one", b"two"]


def test_an_open_whose_sync_fails_frees_the_fence_and_can_be_tried_again(tmp_path: Path) -> None:
    FileJournal.open(tmp_path / "j").close()
    with pytest.raises(JournalError, match="cannot recover"):
        FileJournal.open(tmp_path / "j", sync=FailingDisk(fails_at=1))
    FileJournal.open(tmp_path / "j").close()


def test_a_tail_of_unknown_durability_is_written_again_before_it_is_believed(tmp_path: Path) -> None:
    """After a failed fdatasync pages may be clean and lost; only writing them again brings them to the disk."""
    with FileJournal.open(tmp_path / "j") as journal:
        journal.append([b"acknowledged"])
        mark = (tmp_path / "j" / "durable").read_bytes()
        journal.append([b"not acknowledged"])
    (tmp_path / "j" / "durable").write_bytes(mark)
    (segment,) = (tmp_path / "j").glob("*.journal")
    os.utime(segment, ns=(0, 0))
    synced_after_write: list[bool] = []

    def watch(fd: int) -> None:
        synced_after_write.append(os.fstat(fd).st_mtime_ns > 0)
        os.fdatasync(fd)

    with FileJournal.open(tmp_path / "j", sync=watch) as journal:
        assert [record for _, record in journal.replay()] == [b"acknowledged", b"not acknowledged"]
    assert synced_after_write == [True]


def test_a_group_too_large_for_one_write_is_refused_and_the_journal_lives(tmp_path: Path) -> None:
    huge = b"x" * (1 << 20)
    with FileJournal.open(tmp_path / "j") as journal:
        with pytest.raises(TooLargeError):
            journal.append([huge] * 1025)
        journal.append([b"fine"])
