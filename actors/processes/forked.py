"""Work on the state as it is at one moment, in a forked child process, while the parent goes on at once.

The kernel shares the memory and copies a page only when one side writes to it, so a fork costs milliseconds where a
copy of the state costs seconds. A child of a process with threads is delicate, and this module keeps its rules. The
child closes every descriptor it inherited except those named (a journal's lock, sockets of Ray and of the event loop
must not outlive the parent in it), dies with its parent, takes the default signal handlers, collects no garbage
(touching every object would copy every page), gives way to others, logs nothing, allocates from the C library, whose
locks survive a fork, and leaves with `_exit`. Its work may use neither threads nor locks that another thread could have
held: no gRPC, no object stores, no databases.

Guarantees: :meth:`Forked.wait` returns only when the child ended well, and leaves no child behind however it ends. What
the work did must be judged by what it wrote.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Collection
from typing import IO, NoReturn

import pyarrow as pa

from whisperer.errors import ProcessError

NICENESS = 10
"""Not 19: under full load a child that never runs would keep pages shared, and the journal untrimmed, for too long."""
LOOK_S = 0.02

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_ENDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


class ForkError(ProcessError):
    """The child could not be made, took too long, or did not end well."""


class Forked:
    """A child at work, made by :meth:`start`.

    Attributes
    ----------
    pause_s : how long forking stopped the caller
    """

    def __init__(self, pid: int, result: IO[bytes], pause_s: float) -> None:
        self.pid = pid
        self.pause_s = pause_s
        self._result = result
        self._ended = False

    @classmethod
    def start(cls, work: Callable[[], bytes], keep: Collection[int] = ()) -> Forked:
        """Run ``work`` in a child that keeps these descriptors open. Raises ForkError.

        Call it where no other thread changes what the work reads.
        """
        result = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  closed when the child has ended
        parent, began = os.getpid(), time.perf_counter()
        # A signal that arrived before the child has its own handlers would go to the parent's, and be lost: block it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDED)
        try:
            with warnings.catch_warnings():
                # From Python 3.12 on: a fork with threads may deadlock the child. See above, and `wait` has a limit.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                _run(work, result.fileno(), keep, parent)
        except OSError as error:
            result.close()
            raise ForkError(f"no child process could be made: {error}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return cls(pid, result, time.perf_counter() - began)

    async def wait(self, timeout_s: float) -> bytes:
        """Return what the work returned, once the child has ended.

        Raises ForkError when it did not end well, or not in time; it is then killed.
        """
        deadline = time.monotonic() + timeout_s
        with self._result as result:
            try:
                while (code := self._look()) is None:
                    if time.monotonic() > deadline:
                        raise ForkError(f"the child did not finish within {timeout_s:g} s")
                    await asyncio.sleep(LOOK_S)
            finally:
                self.kill()
            if code != 0:
                raise ForkError(f"the child ended with {code}")
            result.seek(0)
            return result.read()

    def kill(self) -> None:
        """Kill the child at once, if it still runs."""
        if not self._ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self.pid, 0)
            self._ended = True

    def _look(self) -> int | None:
        """Return the exit code, negative for a signal; None while the child runs."""
        try:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # somebody else reaped it: what was written shows the rest
            pid, status = self.pid, 0
        if pid == 0:
            return None
        self._ended = True
        return os.waitstatus_to_exitcode(status)


def _run(work: Callable[[], bytes], result: int, keep: Collection[int], parent: int) -> NoReturn:
    as_child(lambda: os.write(result, work()), {result, *keep}, parent)


def as_child(work: Callable[[], object], keep: Collection[int], parent: int) -> NoReturn:
    """Do the work under the rules above, in a newly forked child, with these descriptors and 2 open, and exit."""
    code = 1
    try:
        gc.disable()
        logging.disable()
        _close_all_but({2, *keep})
        if sys.platform == "linux":
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == parent:  # otherwise it died in between
            for number in _ENDED:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDED)
            os.nice(NICENESS)
            pa.set_memory_pool(pa.system_memory_pool())
            work()
            code = 0
    except BaseException:
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


def _close_all_but(kept: Collection[int]) -> None:
    first = 0
    for fd in sorted(kept):
        os.closerange(first, fd)
        first = fd + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))
