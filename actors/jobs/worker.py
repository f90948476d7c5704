"""Run a process that does one job after another: ``python -m actors.jobs.worker MEMORY_BYTES TIME_LIMIT_S PARENT``.

Tasks come on standard input; pieces of their answers go to what was standard output, each after its kind and length;
anything printed goes to standard error. The pipe holds 64 KB: while nobody takes pieces, none are made. Guarantees: it
gives way to everything else; its data never exceeds MEMORY_BYTES, and a job that needs more is answered with an error
that says so; it ends at TIME_LIMIT_S in one job, and with PARENT, the process that began it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable
from typing import IO

import msgspec

from actors.jobs import tasks
from actors.jobs.frames import DONE, FAILED, PIECE, PIECE_HEAD, TASK_HEAD, Failure
from actors.processes.forked import NICENESS
from whisperer.errors import InvariantError, TooLargeError, WhispererError

GRACE_S = 5
"""Beyond the limit at which whoever asked ends it."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)
_log = logging.getLogger(__name__)


def serve(
    incoming: IO[bytes],
    outgoing: IO[bytes],
    answer: Callable[[bytes], Iterable[bytes]],
    memory_bytes: int,
    limit_s: int,
) -> None:
    """Do tasks until no more come."""
    while head := incoming.read(TASK_HEAD.size):
        encoded = incoming.read(TASK_HEAD.unpack(head)[0])
        signal.alarm(limit_s + GRACE_S)
        failure: Failure | None = None
        try:
            for piece in answer(encoded):
                outgoing.write(PIECE_HEAD.pack(PIECE, len(piece)) + piece)
                outgoing.flush()
        except WhispererError as error:
            failure = type(error).__name__, error.message, error.code, error.retry_after_s
        except Exception as error:
            if not _is_of_memory(error):
                _log.exception("a job failed")
            failure = _failure(error, memory_bytes)
        signal.alarm(0)
        kind, body = (DONE, b"") if failure is None else (FAILED, msgspec.msgpack.encode(failure))
        outgoing.write(PIECE_HEAD.pack(kind, len(body)) + body)
        outgoing.flush()


def _failure(error: Exception, memory_bytes: int) -> Failure:
    if _is_of_memory(error):
        message = f"this takes more than {memory_bytes >> 20} MB of memory, which is the most that one job may have"
        return TooLargeError.__name__, message, "job_too_large", None
    return InvariantError.__name__, f"{type(error).__name__}; the log has more", InvariantError.code, None


def _is_of_memory(error: BaseException) -> bool:
    """Recognize Python's and Arrow's, DuckDB's (once spilling is not enough), the loader's and the system's errors."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryException":
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return any(word in str(error).lower() for word in ("allocate", "bad_alloc", "start new thread"))


def limit(memory_bytes: int) -> None:
    """Bound this process's data, and lower its priority; memory reserved and never written to does not count."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError):
        os.nice(NICENESS)


def end_with(parent: int) -> None:
    """Have this process killed when its parent ends."""
    if hasattr(_libc, "prctl"):
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before
        os._exit(1)


def main() -> None:
    memory_bytes, limit_s, parent = (int(word) for word in sys.argv[1:4])
    end_with(parent)
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    limit(memory_bytes)
    logging.basicConfig(level=logging.INFO)

    def answer(encoded: bytes) -> Iterable[bytes]:
        from actors.jobs.carrying_out import carry_out  # below the limit, like everything it loads

        return carry_out(tasks.decode(encoded))

    serve(sys.stdin.buffer, outgoing, answer, memory_bytes, limit_s)


if __name__ == "__main__":
    main()
