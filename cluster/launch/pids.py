"""Finds the processes that belong to an installation, and ends them.

A process is ours if it was recorded with its start time (a reused number is another process), if its environment
carries our installation id, or if it is our interpreter or Ray's binary working inside our temporary folder: Ray's
workers overwrite their command line and environment, but not the files they hold open. Nothing else is ever signalled,
and each process is checked again just before each signal.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

import msgspec
import psutil

INSTALLATION_ENV = "WHISPERER_INSTALLATION"
_PROC = Path("/proc")


class Pid(msgspec.Struct, frozen=True):
    """A process and the moment it started (clock ticks since boot, and which boot)."""

    pid: int
    started: str

    def alive(self) -> bool:
        return identify(self.pid) == self


def identify(pid: int) -> Pid | None:
    """Return a running process with its start time, or None if it has ended (a zombie has)."""
    try:
        stat = (_PROC / str(pid) / "stat").read_bytes()
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    state, *fields = stat[stat.rindex(b")") + 2 :].split()  # the name before it may contain spaces and parentheses
    if state in (b"Z", b"X"):
        return None
    return Pid(pid, f"{boot}:{int(fields[18])}")


def find(installation_id: str, temp_dir: Path, recorded: Iterable[Pid] = ()) -> set[Pid]:
    """Return the running processes of an installation, except this one and its ancestors.

    A ``temp_dir`` that is not absolute (an installation that never started has none) matches nothing.
    """
    spared = set(_ancestors())
    mark = f"{INSTALLATION_ENV}={installation_id}".encode()
    found = {pid for pid in recorded if pid.pid not in spared and pid.alive()}
    for entry in _PROC.iterdir():
        if not entry.name.isdigit() or int(entry.name) in spared:
            continue
        try:
            if entry.stat().st_uid != os.getuid():
                continue
            ours = mark in _split(entry / "environ") or (
                temp_dir.is_absolute() and _is_our_program(entry) and _works_in(entry, temp_dir)
            )
        except OSError:  # it ended meanwhile, or may not be inspected
            continue
        if ours and (pid := identify(int(entry.name))):
            found.add(pid)
    return found


def named(pids: Iterable[Pid], names: Collection[str]) -> list[Pid]:
    """Return those whose program has one of the names (the first 15 characters count)."""
    short = {name[:15] for name in names}
    return [pid for pid in pids if _program_name(pid.pid) in short]


def end(pids: Collection[Pid], grace_s: float) -> set[Pid]:
    """Ask processes to end, wait, then kill what is left. Returns those that had to be killed."""
    _signal(pids, kill=False)
    left = wait_gone(pids, grace_s)
    _signal(left, kill=True)
    wait_gone(left, 10.0)
    return left


def wait_gone(pids: Collection[Pid], timeout_s: float) -> set[Pid]:
    """Wait until processes have ended; return those that have not in time."""
    deadline = time.monotonic() + timeout_s
    left = {pid for pid in pids if pid.alive()}
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = {pid for pid in left if pid.alive()}
    return left


def rss_bytes(pids: Iterable[Pid]) -> int:
    """Return the resident memory of processes together; shared pages count in each."""
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid.pid).memory_info().rss
        except psutil.Error:
            continue
    return total


def _program_name(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def _signal(pids: Iterable[Pid], *, kill: bool) -> None:
    for pid in pids:
        try:
            target = psutil.Process(pid.pid)  # psutil refuses to signal a number that was reused
            if pid.alive():
                target.kill() if kill else target.terminate()
        except psutil.Error:
            continue


def _ancestors() -> Iterator[int]:
    yield os.getpid()
    yield from (parent.pid for parent in psutil.Process().parents())


def _split(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\0")


def _is_our_program(entry: Path) -> bool:
    """Return whether a process runs this Python or a binary installed next to it (Ray's servers, HAProxy)."""
    program = os.readlink(entry / "exe").removesuffix(" (deleted)")
    return program == os.path.realpath(sys.executable) or program.startswith(os.path.realpath(sys.prefix) + os.sep)


def _works_in(entry: Path, folder: Path) -> bool:
    """Return whether a process names a path inside the folder on its command line, or holds one open."""
    inside = f"{folder}{os.sep}".encode()
    if any(inside in word for word in _split(entry / "cmdline")):
        return True
    return any(os.readlink(fd).startswith(inside.decode()) for fd in _open_files(entry))


def _open_files(entry: Path) -> Iterator[Path]:
    for fd in (entry / "fd").iterdir():
        try:
            os.readlink(fd)
        except OSError:  # closed meanwhile
            continue
        yield fd
