"""The child that works on the state of one moment: what it must not keep, and how it ends."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from actors.processes.forked import Forked, ForkError

TIMEOUT_S = 60.0


def pause() -> bytes:
    signal.pause()
    return b""


async def test_the_child_sees_the_state_as_it_was_whatever_the_parent_does_next() -> None:
    state = {"n": 1}
    child = Forked.start(lambda: str(state["n"]).encode())
    state["n"] = 2
    assert await child.wait(TIMEOUT_S) == b"1"
    assert child.pause_s > 0


async def test_the_child_keeps_no_descriptor_but_the_named_ones(tmp_path: Path) -> None:
    with (tmp_path / "named").open("wb") as named, (tmp_path / "other").open("wb"), socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        child = Forked.start(lambda: " ".join(os.listdir("/proc/self/fd")).encode(), [named.fileno()])
        kept = {int(fd) for fd in (await child.wait(TIMEOUT_S)).split()}
        assert {2, named.fileno()} <= kept
        # One more is open for the result, and one while the folder is listed.
        assert len(kept) == 4


async def test_a_child_that_fails_is_an_error_and_says_why(capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> bytes:
        raise KeyError("what was wrong")

    with pytest.raises(ForkError, match="ended with 1"):
        await Forked.start(fail).wait(TIMEOUT_S)
    assert "KeyError: 'what was wrong'" in capfd.readouterr().err


async def test_a_child_that_takes_too_long_is_killed_and_leaves_no_zombie() -> None:
    child = Forked.start(pause)
    with pytest.raises(ForkError, match="did not finish"):
        await child.wait(0.0)
    assert not psutil.pid_exists(child.pid)


async def test_a_killed_child_is_an_error() -> None:
    child = Forked.start(pause)
    os.kill(child.pid, signal.SIGTERM)
    with pytest.raises(ForkError, match="ended with -15"):
        await child.wait(TIMEOUT_S)


async def test_threads_that_allocate_while_the_fork_happens_stop_no_child() -> None:
    stop = threading.Event()

    def allocate() -> bytes:
        for n in range(2_000):
            bytes(n)
        return b"done"

    def busy() -> None:
        while not stop.is_set():
            allocate()

    threads = [threading.Thread(target=busy) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            assert await Forked.start(allocate).wait(TIMEOUT_S) == b"done"
    finally:
        stop.set()
        for thread in threads:
            thread.join()


_PARENT = """
import fcntl, os, signal, sys
from actors.processes.forked import Forked
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
child = Forked.start(signal.pause)
print(child.pid, flush=True)
signal.pause()
"""


def test_when_the_parent_is_killed_its_lock_is_free_and_the_child_ends(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, str(path)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    with path.open("rb") as lock:
        deadline = time.monotonic() + TIMEOUT_S
        while Path(f"/proc/{child}/status").exists() and "Z (zombie)" not in Path(f"/proc/{child}/status").read_text():
            assert time.monotonic() < deadline, "the child outlives its parent"
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    parent.stdout.close()
