"""Allow one writer per journal folder, with a lock that the kernel drops when its holder dies; end a stuck holder.

Guarantees: while a :class:`Fence` is held no other process on this machine, nor another opener in this one, holds it. A
stuck holder is asked (SIGTERM), then killed (SIGKILL), and only after its pid *and* its start time were found to be
those recorded: a recycled pid is never signalled. Leaves epochs to the segments.

``flock`` belongs to the open file, which a child made by a bare ``fork`` shares: such a child keeps the fence when its
parent dies. Children started by ``exec`` do not (Python opens files close-on-exec).
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import time
from pathlib import Path
from typing import NamedTuple

from whisperer.errors import FencedError

KILL_GRACE_S = 10.0
"""How long the kernel may take to end a killed holder (it may sit in a disk write)."""
_POLL_S = 0.02


class Fence:
    """Hold the lock from :meth:`take` to :meth:`release`, or until the process dies."""

    def __init__(self, path: Path, fd: int) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def take(cls, path: Path, takeover_timeout_s: float | None = None) -> Fence:
        """Lock the file, creating it when missing, and record this process as its holder.

        With ``takeover_timeout_s`` None, a held fence raises FencedError at once. Otherwise the holder is asked to end,
        and killed if it still holds the fence after that many seconds; FencedError only if even that does not free it.
        """
        while True:
            fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                if not _try_lock(fd):
                    if takeover_timeout_s is None:
                        raise FencedError(f"{path} is held by {_describe(fd)}")
                    _take_over(fd, path, takeover_timeout_s)
                fence = cls(path, fd)
                if fence.is_held():
                    fence._record_holder()
                    return fence
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)  # the file was replaced between opening and locking it: lock the new one

    def is_held(self) -> bool:
        """Return False once somebody deleted or replaced the lock file: it then keeps nobody out."""
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return False
        ours = os.fstat(self._fd)
        return (there.st_ino, there.st_dev) == (ours.st_ino, ours.st_dev)

    def release(self) -> None:
        """Release the lock. Releasing twice is harmless."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _record_holder(self) -> None:
        pid = os.getpid()
        record = json.dumps(_Holder(pid, _started_ticks(pid), _boot_id())._asdict()).encode()
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, record, 0)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _take_over(fd: int, path: Path, timeout_s: float) -> None:
    """Return with the lock, or raise FencedError."""
    for number, wait_s in ((signal.SIGTERM, timeout_s), (signal.SIGKILL, KILL_GRACE_S)):
        if _lock_within(fd, number, time.monotonic() + wait_s):
            return
    raise FencedError(f"{path} is still held by {_describe(fd)}, which could not be ended")


def _lock_within(fd: int, number: signal.Signals, deadline_s: float) -> bool:
    """Signal the holder once, then try the lock until it is free, the holder is gone, or the deadline has passed."""
    pidfd = None
    poll = select.poll()
    try:
        while not _try_lock(fd):
            left_s = deadline_s - time.monotonic()
            if pidfd is None:  # the first time, or the holder had not recorded itself yet
                pidfd = _signal_holder(fd, number)
                if pidfd is not None:
                    poll.register(pidfd, select.POLLIN)
                elif number == signal.SIGKILL:
                    return False  # nobody was killed: nothing to wait for
            if left_s <= 0:
                return False
            if poll.poll(1000 * min(_POLL_S, left_s)):  # it ended: its locks went before it did
                return _try_lock(fd)
        return True
    finally:
        if pidfd is not None:
            os.close(pidfd)


def _signal_holder(fd: int, number: signal.Signals) -> int | None:
    """Signal the recorded holder if it is verifiably that process; return an open pidfd, or None where it is not."""
    holder = _recorded_holder(fd)
    if holder is None or holder.pid == os.getpid() or holder.boot_id != _boot_id():
        return None
    try:
        pidfd = os.pidfd_open(holder.pid)  # pins the process: its start time and the signal concern the same one
    except ProcessLookupError:
        return None
    try:
        if _started_ticks(holder.pid) == holder.started_ticks:
            signal.pidfd_send_signal(pidfd, number)
            return pidfd
    except (ProcessLookupError, FileNotFoundError, PermissionError):
        pass
    os.close(pidfd)
    return None


class _Holder(NamedTuple):
    pid: int
    started_ticks: int
    boot_id: str


def _recorded_holder(fd: int) -> _Holder | None:
    try:
        record = json.loads(os.pread(fd, 4096, 0))
        return _Holder(int(record["pid"]), int(record["started_ticks"]), str(record["boot_id"]))
    except (ValueError, KeyError, TypeError):
        return None


def _describe(fd: int) -> str:
    holder = _recorded_holder(fd)
    return f"process {holder.pid}" if holder else "a process that has not recorded itself"


def _started_ticks(pid: int) -> int:
    """Start of a process in clock ticks since boot: field 22 of ``/proc/pid/stat`` (proc(5))."""
    stat = Path(f"/proc/{pid}/stat").read_text()
    return int(stat[stat.rindex(")") + 2 :].split()[19])


def _boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
