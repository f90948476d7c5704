"""Who may write: two openers at once, stuck holders, dead holders, and a writer killed in the middle."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.journal import FileJournal
from actors.journal.fence import Fence
from whisperer.errors import FencedError

HOLD = """
import signal, sys
from actors.journal import FileJournal
if sys.argv[2] == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
journal = FileJournal.open(sys.argv[1])
journal.append([b"of the holder"])
print("holding", flush=True)
sys.stdin.read()
"""

WRITE_FOREVER = """
import sys
from actors.journal import FileJournal
journal = FileJournal.open(sys.argv[1], segment_bytes=200_000)
out = sys.stdout
n = int(sys.argv[2])
while True:
    group = [b"%d:%d" % (n, k) + b"." * (n * 37 % 5000) for k in range(3)]
    positions = journal.append(group)
    out.write("%d %d\\n" % (n, positions[-1]))
    out.flush()
    n += 1
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start Python processes that are ended with the test."""
    started: list[subprocess.Popen[str]] = []

    def run(program: str, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe is not None
            pipe.close()


def holder(start: Start, folder: Path, kind: str = "polite") -> subprocess.Popen[str]:
    process = start(HOLD, str(folder), kind)
    assert process.stdout is not None
    assert process.stdout.readline() == "holding\n"
    return process


def test_a_second_process_is_refused_and_told_who_holds_the_journal(tmp_path: Path, start: Start) -> None:
    first = holder(start, tmp_path / "j")
    with pytest.raises(FencedError, match=f"process {first.pid}"):
        FileJournal.open(tmp_path / "j")
    assert first.poll() is None
    assert len(list((tmp_path / "j").glob("*.journal"))) == 1, "a refused opener must leave no trace"


def test_a_second_opener_in_the_same_process_is_refused_and_never_ends_its_own_process(tmp_path: Path) -> None:
    with FileJournal.open(tmp_path / "j") as journal:
        with pytest.raises(FencedError):
            FileJournal.open(tmp_path / "j", takeover_timeout_s=0.05)
        journal.append([b"alive"])


def test_a_killed_holder_leaves_no_fence(tmp_path: Path, start: Start) -> None:
    first = holder(start, tmp_path / "j")
    first.send_signal(signal.SIGKILL)
    first.wait()
    with FileJournal.open(tmp_path / "j") as journal:
        assert [record for _, record in journal.replay()] == [b"of the holder"]
        assert journal.epoch == 2


def test_a_holder_that_answers_is_asked_to_end_and_not_killed(tmp_path: Path, start: Start) -> None:
    first = holder(start, tmp_path / "j")
    with FileJournal.open(tmp_path / "j", takeover_timeout_s=20) as journal:
        assert first.wait() == -signal.SIGTERM
        assert journal.epoch == 2


# A stopped process takes the pending SIGTERM when SIGKILL wakes it, and may report either.
@pytest.mark.parametrize("kind", ["deaf", "stopped"])
def test_a_stuck_holder_is_killed_and_its_records_are_kept(tmp_path: Path, start: Start, kind: str) -> None:
    first = holder(start, tmp_path / "j", kind)
    if kind == "stopped":
        first.send_signal(signal.SIGSTOP)
    with FileJournal.open(tmp_path / "j", takeover_timeout_s=0.2) as journal:
        assert first.wait() in {"deaf": [-signal.SIGKILL], "stopped": [-signal.SIGKILL, -signal.SIGTERM]}[kind]
        assert [record for _, record in journal.replay()] == [b"of the holder"]


@pytest.mark.parametrize("lie", ["start time", "boot", "nonsense"])
def test_a_process_that_merely_has_the_recorded_pid_is_never_signalled(
    tmp_path: Path, start: Start, lie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.journal.fence.KILL_GRACE_S", 0.1)
    first = holder(start, tmp_path / "j")
    lock = tmp_path / "j" / "lock"
    record = json.loads(lock.read_text())
    record |= {"start time": {"started_ticks": record["started_ticks"] + 1}, "boot": {"boot_id": "another"}}.get(
        lie, {}
    )
    lock.write_text("[nonsense" if lie == "nonsense" else json.dumps(record))
    with pytest.raises(FencedError, match="could not be ended"):
        FileJournal.open(tmp_path / "j", takeover_timeout_s=0.1)
    assert first.poll() is None


def test_a_lock_got_on_a_file_that_was_replaced_meanwhile_does_not_count(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = Fence.take(path)
    outcome: list[object] = []

    def wait_for_the_first_file() -> None:
        try:
            outcome.append(Fence.take(path, takeover_timeout_s=0.7))
        except FencedError as error:
            outcome.append(error)

    waiter = threading.Thread(target=wait_for_the_first_file)
    waiter.start()
    while waiter.is_alive() and n_open(path) < 2:
        os.sched_yield()
    path.unlink()
    second = Fence.take(path)
    first.release()
    waiter.join()
    assert isinstance(outcome[0], FencedError)
    assert second.is_held()
    second.release()


def n_open(path: Path) -> int:
    """How many descriptors of this process are open on a file."""
    n = 0
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            n += link.readlink() == path
    return n


def test_a_writer_whose_lock_file_was_deleted_stops_before_writing(tmp_path: Path) -> None:
    journal = FileJournal.open(tmp_path / "j")
    journal.append([b"mine"])
    os.unlink(tmp_path / "j" / "lock")
    with FileJournal.open(tmp_path / "j") as second:
        with pytest.raises(FencedError):
            journal.append([b"lost"])
        assert [record for _, record in second.replay()] == [b"mine"]
    journal.close()


def test_nothing_acknowledged_is_lost_when_the_writer_is_killed_again_and_again(tmp_path: Path, start: Start) -> None:
    acknowledged: dict[int, int] = {}
    may_be_partial: set[int] = set()
    for n_lines in (1, 40, 7, 90, 3):
        writer = start(WRITE_FOREVER, str(tmp_path / "j"), str(max(may_be_partial, default=-1) + 1))
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(n_lines)]
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout.readlines()
        writer.wait()
        told = [line.split() for line in lines if line.endswith("\n")]
        acknowledged |= {int(number): int(position) for number, position in told}

        with FileJournal.open(tmp_path / "j") as journal:
            found = [(p, *map(int, record.rstrip(b".").split(b":"))) for p, record in journal.replay()]
        may_be_partial.add(found[-1][1])
        assert acknowledged.items() <= {number: position for position, number, k in found if k == 2}.items()
        groups = itertools.groupby(found, key=lambda row: row[1])
        sizes = {number: [k for _, _, k in rows] for number, rows in groups}
        assert list(sizes) == list(range(len(sizes))), "no group is missing, doubled or out of order"
        for number, ks in sizes.items():
            assert ks == [0, 1, 2][: len(ks)]
            assert len(ks) == 3 or number in may_be_partial
