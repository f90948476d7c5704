"""The child that does jobs: it answers, it may fail or die, and there is always another."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from actors.processes.bookkeeper import MAY_COME_BACK, Bookkeeper, JobFailedError
from actors.processes.forked import ForkError

TIMEOUT_S = 60.0


def work(job: bytes) -> bytes:
    match job.partition(b" "):
        case (b"pid", _, _):
            return str(os.getpid()).encode()
        case (b"fail", _, why):
            raise LookupError(why.decode())
        case (b"die", _, _):
            os.kill(os.getpid(), signal.SIGKILL)
        case (b"wait", _, _):
            signal.pause()
        case (b"open", _, _):
            return " ".join(str(file.path) for file in psutil.Process().open_files()).encode()
    return job


@pytest.fixture
async def bookkeeper() -> AsyncIterator[Bookkeeper]:
    made = Bookkeeper(work)
    made.start()
    yield made
    made.close()


async def test_jobs_of_any_size_are_answered_by_one_and_the_same_child(bookkeeper: Bookkeeper) -> None:
    pid = await bookkeeper.ask(b"pid", TIMEOUT_S)
    assert int(pid) != os.getpid()
    for size in (0, 1, 3_000_000):
        assert await bookkeeper.ask(b"x" * size, TIMEOUT_S) == b"x" * size
    assert await bookkeeper.ask(b"pid", TIMEOUT_S) == pid


async def test_jobs_asked_at_once_are_done_one_after_the_other(bookkeeper: Bookkeeper) -> None:
    jobs = [bytes([65 + n]) * 100_000 for n in range(8)]
    assert await asyncio.gather(*(bookkeeper.ask(job, TIMEOUT_S) for job in jobs)) == jobs


async def test_what_the_work_raises_is_told_and_the_child_goes_on(bookkeeper: Bookkeeper) -> None:
    pid = await bookkeeper.ask(b"pid", TIMEOUT_S)
    with pytest.raises(JobFailedError, match="LookupError: no such thing"):
        await bookkeeper.ask(b"fail no such thing", TIMEOUT_S)
    assert await bookkeeper.ask(b"pid", TIMEOUT_S) == pid


async def test_a_child_that_dies_at_its_work_is_replaced_at_the_next_job(bookkeeper: Bookkeeper) -> None:
    pid = int(await bookkeeper.ask(b"pid", TIMEOUT_S))
    with pytest.raises(ForkError):
        await bookkeeper.ask(b"die", TIMEOUT_S)
    assert int(await bookkeeper.ask(b"pid", TIMEOUT_S)) != pid
    assert not psutil.pid_exists(pid)


async def test_one_that_takes_too_long_or_is_not_wanted_any_more_is_ended(bookkeeper: Bookkeeper) -> None:
    pid = int(await bookkeeper.ask(b"pid", TIMEOUT_S))
    with pytest.raises(ForkError):
        await bookkeeper.ask(b"wait", 0.05)
    assert not psutil.pid_exists(pid)
    asked = asyncio.ensure_future(bookkeeper.ask(b"wait", TIMEOUT_S))
    await asyncio.sleep(0.05)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    assert await bookkeeper.ask(b"again", TIMEOUT_S) == b"again"


@pytest.mark.skipif(
    not (MAY_COME_BACK and hasattr(os, "SCHED_IDLE")), reason="this system lets nobody out of the idle class"
)
async def test_a_job_gives_way_wholly_at_first_and_competes_when_it_waited_long(
    bookkeeper: Bookkeeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = int(await bookkeeper.ask(b"pid", TIMEOUT_S))
    assert os.sched_getscheduler(pid) == os.SCHED_IDLE
    monkeypatch.setattr("actors.processes.bookkeeper.PATIENCE_S", 0.01)
    asked = asyncio.ensure_future(bookkeeper.ask(b"wait", TIMEOUT_S))
    while os.sched_getscheduler(pid) == os.SCHED_IDLE:  # noqa: ASYNC110  the kernel tells nobody
        await asyncio.sleep(0.01)
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)


async def test_it_holds_nothing_open_that_was_its_parents(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w"):
        assert str(tmp_path) in work(b"open").decode()
        made = Bookkeeper(work)
        found = (await made.ask(b"open", TIMEOUT_S)).decode()
        made.close()
    assert str(tmp_path) not in found
