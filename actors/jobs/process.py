"""Run a worker process from the asker's side: a task goes in, pieces come out, and it can be ended at any moment.

Guarantees: :meth:`Process.kill` leaves neither the process nor its files behind; about 200 KB of an answer are held
here and in the pipe, however slowly it is taken.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import Protocol

import msgspec
import psutil

from actors.jobs.frames import DONE, FAILED, PIECE_HEAD, TASK_HEAD, Failure
from actors.jobs.lanes import Lane
from actors.processes.bookkeeper import give_way
from whisperer import errors
from whisperer.errors import UnavailableError, WhispererError

BUFFER_BYTES = 64 << 10
"""Asyncio keeps reading until twice as much waits to be taken."""
PATIENCE_S = 2.0
"""How long a job runs only while nobody else wants the processor. Somebody waits for it, so then it competes."""

_log = logging.getLogger(__name__)


class Doing(Protocol):
    """Does jobs, one at a time."""

    def answers(self, task: bytes) -> AsyncGenerator[bytes]:
        """Yield the pieces of the answer. Raises what the job raised, and UnavailableError where the process ended."""
        ...

    def kill(self) -> None:
        """End it, whatever it is doing. Idempotent."""
        ...


Begin = Callable[[Lane], Awaitable[Doing]]


class Process:
    """A worker process, made by :meth:`begin`."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path, memory_bytes: int) -> None:
        self._process = process
        self._memory_bytes = memory_bytes
        self._folder = folder
        self._is_killed = False

    @classmethod
    async def begin(cls, lane: Lane, spool: Path) -> Process:
        """Start a process; it spills to files in a folder of its own below ``spool``, under this process's id."""
        folder = spool / str(os.getpid()) / os.urandom(6).hex()
        await asyncio.to_thread(folder.mkdir, parents=True)
        environment = os.environ | {
            "TMPDIR": str(folder),
            "ARROW_DEFAULT_MEMORY_POOL": "system",  # the others reserve memory that they do not give back
            "OMP_NUM_THREADS": "1",
            "MALLOC_ARENA_MAX": "2",
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "actors.jobs.worker",
            str(lane.memory_bytes),
            str(round(lane.time_limit_s)),
            str(os.getpid()),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=BUFFER_BYTES,
            env=environment,
        )
        return cls(process, folder, lane.memory_bytes)

    async def answers(self, task: bytes) -> AsyncGenerator[bytes]:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None
        assert stdout is not None
        give_way(self._process.pid, True)
        impatience = asyncio.get_running_loop().call_later(PATIENCE_S, give_way, self._process.pid, False)
        try:
            stdin.write(TASK_HEAD.pack(len(task)) + task)
            await stdin.drain()
            while True:
                kind, size = PIECE_HEAD.unpack(await stdout.readexactly(PIECE_HEAD.size))
                body = await stdout.readexactly(size)
                if kind == DONE:
                    return
                if kind == FAILED:
                    raise _error(msgspec.msgpack.decode(body, type=Failure))
                yield body
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            code = await self._process.wait()
            _log.warning("a process ended in the middle of a job, with %d", code)
            for_memory = code in (-signal.SIGABRT, -signal.SIGSEGV)  # how libraries end that get no memory
            hint = f": it may need more than {self._memory_bytes >> 20} MB of memory" if for_memory else "; try again"
            raise UnavailableError(f"the process that worked on this ended early{hint}") from error
        finally:
            impatience.cancel()

    def kill(self) -> None:
        if self._is_killed:
            return
        self._is_killed = True
        # asyncio's `kill` would leave open a pipe that is not read to its end.
        self._process._transport.close()  # type: ignore[attr-defined]
        task = asyncio.ensure_future(self._tidy())
        _tidying.add(task)
        task.add_done_callback(_tidying.discard)

    async def _tidy(self) -> None:
        await self._process.wait()
        await asyncio.to_thread(shutil.rmtree, self._folder, True)


_tidying: set[asyncio.Task[None]] = set()
"""A task that nobody refers to may vanish."""


async def tidied() -> None:
    """Wait until nothing is left of the processes that were killed."""
    while _tidying:
        await asyncio.wait(_tidying)


def tidy(spool: Path) -> None:
    """Remove what processes of killed gateways left."""
    with contextlib.suppress(FileNotFoundError):
        for folder in spool.iterdir():
            if not folder.name.isdigit() or not psutil.pid_exists(int(folder.name)):
                shutil.rmtree(folder, ignore_errors=True)


def _error(failure: Failure) -> WhispererError:
    name, message, code, retry_after_s = failure
    kind: type[WhispererError] = getattr(errors, name, WhispererError)
    return kind(message, code=code, retry_after_s=retry_after_s)
