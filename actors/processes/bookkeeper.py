"""Run jobs for a shard in a child process that is forked before there is any state.

A child forked from a process with a large state makes the parent pay for every page that it writes while the child
lives; one that was forked before costs nothing. The job contains what it needs of the state. The child follows the
rules of :mod:`actors.processes.forked`, except that it collects garbage and may use servers: nothing of the kind was
open when it was forked.

Guarantees: :meth:`Bookkeeper.ask` returns what the work returned, or raises; when it raises, the job may have been
done. A lost child is replaced at the next job.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import os
import resource
import signal
import socket
import struct
import warnings
from collections.abc import Callable

from actors.processes.forked import NICENESS, ForkError, as_child
from whisperer.errors import ProcessError

PATIENCE_S = 20.0
"""How long a job runs only while nobody else wants the processor; then it competes, at low priority."""
MAY_COME_BACK = os.geteuid() == 0 or resource.getrlimit(resource.RLIMIT_NICE)[0] >= 20 - NICENESS
"""Whether the system lets one of our processes leave the idle class again (sched(7)). Where it does not, none enters
it: a shard that is never idle would never export.
"""

_LENGTH = struct.Struct("<Q")
_DONE, _FAILED = b"\0", b"\1"
_libc = ctypes.CDLL(None)


class JobFailedError(ProcessError):
    """The work raised in the child; the text is that of its error."""


class Bookkeeper:
    """Have a child do one job at a time; ``work`` does a job and runs only in the child. Use from one event loop."""

    def __init__(self, work: Callable[[bytes], bytes]) -> None:
        self._work = work
        self._pid = 0
        self._socket: socket.socket | None = None
        self._one = asyncio.Lock()

    def start(self) -> None:
        """Fork the child, unless there is one. Raises ForkError."""
        if self._socket is not None:
            return
        ours, theirs = socket.socketpair()
        parent = os.getpid()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # see actors.processes.forked
                pid = os.fork()
        except OSError as error:
            ours.close()
            theirs.close()
            raise ForkError(f"no child process could be made: {error}") from error
        if pid == 0:
            as_child(lambda: _serve(theirs, self._work), {theirs.fileno()}, parent)
        theirs.close()
        ours.setblocking(False)
        self._pid, self._socket = pid, ours

    async def ask(self, job: bytes, timeout_s: float) -> bytes:
        """Return the work's result for the job. Raises ForkError (the child was lost), JobFailedError."""
        async with self._one:
            self.start()
            assert self._socket is not None
            give_way(self._pid, True)
            impatience = asyncio.get_running_loop().call_later(PATIENCE_S, give_way, self._pid, False)
            try:
                async with asyncio.timeout(timeout_s):
                    answer = await _exchange(self._socket, job)
            except (OSError, EOFError) as error:  # TimeoutError is an OSError
                self.close()
                raise ForkError(f"the child was lost at its work: {error!r}") from error
            except BaseException:
                self.close()  # it is in the middle of a job
                raise
            finally:
                impatience.cancel()
            if answer[:1] == _FAILED:
                raise JobFailedError(answer[1:].decode())
            return answer[1:]

    def close(self) -> None:
        """Kill the child at once. Idempotent."""
        if self._socket is None:
            return
        self._socket.close()
        self._socket = None
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)


def give_way(pid: int, wholly: bool) -> None:
    """Let a child of ours run only on otherwise idle processors (``wholly``), or normally again, where possible."""
    if MAY_COME_BACK and hasattr(os, "SCHED_IDLE"):
        with contextlib.suppress(OSError):
            os.sched_setscheduler(pid, os.SCHED_IDLE if wholly else os.SCHED_OTHER, os.sched_param(0))


async def _exchange(to: socket.socket, job: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(to, _LENGTH.pack(len(job)))
    await loop.sock_sendall(to, job)
    (size,) = _LENGTH.unpack(await _receive(to, _LENGTH.size))
    return await _receive(to, size)


async def _receive(of: socket.socket, size: int) -> bytes:
    loop, found = asyncio.get_running_loop(), bytearray()
    while len(found) < size:
        piece = await loop.sock_recv(of, size - len(found))
        if not piece:
            raise EOFError("it ended")
        found += piece
    return bytes(found)


def _serve(jobs: socket.socket, work: Callable[[bytes], bytes]) -> None:
    """Do one job after another, in the child, until the parent is gone."""
    gc.enable()
    with jobs.makefile("rwb") as stream:
        while head := stream.read(_LENGTH.size):
            job = stream.read(_LENGTH.unpack(head)[0])
            try:
                answer = _DONE + work(job)
            except Exception as error:
                answer = _FAILED + f"{type(error).__name__}: {error}".encode()
            stream.write(_LENGTH.pack(len(answer)) + answer)
            stream.flush()
            del job, answer
            gc.collect()
            if hasattr(_libc, "malloc_trim"):
                _libc.malloc_trim(0)  # return a large job's memory to the system
