"""Jobs in processes of their own: bounded in memory and time, ended with their caller, nothing left of them."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import re
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import msgspec
import psutil
import pytest

from actors.jobs import LANES, DecisionAudit, Jobs, Lane, Task, UserHistory
from actors.jobs import room as rooms
from actors.jobs.lanes import LOOK_UPS, REPORTS
from actors.warehouse import Warehouse
from tests.support.jobs_here import jobs_here
from tests.unit.actors.warehouse.conftest import NEW_YEAR_2026, Event, decision, logged, record
from whisperer.errors import OverloadError, TooLargeError, UnavailableError

TENANT, OTHER = "acme", "other"
_PROGRAMS = re.compile(r"actors.jobs.worker|playing.py")


@pytest.fixture
def stored(tmp_path: Path) -> str:
    folder = tmp_path / "warehouse"
    events = [Event(f"u:{n % 2}", "Seen", NEW_YEAR_2026 + n) for n in range(4_000)]
    rows = [decision("u:0", "dec_1", NEW_YEAR_2026 + 5, TENANT)]
    Warehouse(folder, pseudonym_key=b"k").export(0, 0, 9, [record(1, TENANT, *events), logged(2, *rows)])
    return str(folder)


_opened: list[Jobs] = []


def opened(spool: Path, lanes: Mapping[type[Task], Lane] = LANES) -> Jobs:
    jobs = Jobs(spool, lanes)
    _opened.append(jobs)
    return jobs


@pytest.fixture(autouse=True)
async def closed() -> AsyncIterator[None]:
    yield
    while _opened:
        await _opened.pop().aclose()


def children() -> list[psutil.Process]:
    found = []
    for process in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE and _PROGRAMS.search(" ".join(process.cmdline())):
                found.append(process)
    return found


def left(spool: Path) -> list[object]:
    return [*children(), *spool.glob("*/*")]


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.02)


async def none_left(spool: Path) -> None:
    await until(lambda: not left(spool))


async def test_a_history_is_a_document_in_pieces_and_the_process_is_there_for_the_next_job(
    stored: str, tmp_path: Path
) -> None:
    jobs = opened(tmp_path / "spool")
    pieces = [piece async for piece in jobs.stream(UserHistory(stored, TENANT, ["u:0"]))]
    found = json.loads(b"{" + b"".join(pieces) + b"}")
    assert len(found["events"]) == 2_000
    assert [row["decision_id"] for row in found["decisions"]] == ["dec_1"]
    assert {name: found[name] for name in ("deliveries", "outcomes", "rewards")} == {
        name: [] for name in ("deliveries", "outcomes", "rewards")
    }
    assert len(pieces) > 1
    assert max(map(len, pieces)) < 128 << 10
    (kept,) = children()
    await jobs.ask(UserHistory(stored, TENANT, ["u:1"]))
    assert children() == [kept]
    assert jobs.counts()["reports"].endings == {"done": 2}
    kept.kill()
    await until(lambda: kept not in children())
    assert await jobs.ask(UserHistory(stored, TENANT, ["u:1"]))  # by another one


async def test_an_unknown_decision_is_none_and_anothers_is_too(stored: str, tmp_path: Path) -> None:
    jobs = opened(tmp_path / "spool")
    for tenant, id in ((TENANT, "dec_2"), (OTHER, "dec_1")):
        assert msgspec.msgpack.decode(await jobs.ask(DecisionAudit(stored, tenant, id))) is None
    found = msgspec.msgpack.decode(await jobs.ask(DecisionAudit(stored, TENANT, "dec_1")))
    assert found["decision"]["decision_id"] == "dec_1"


def playing(tmp_path: Path, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on, processes run this in place of what answers; ``task`` is what was asked."""
    code = textwrap.dedent(
        """
        import sys
        from actors.jobs import worker
        worker_main = worker.main
        import actors.jobs.carrying_out as room
        def carry_out(task):
            {}
        room.carry_out = carry_out
        worker_main()
        """
    ).format(textwrap.dedent(program).strip().replace("\n", "\n    "))
    script = tmp_path / "playing.py"
    script.write_text(code)
    begin = asyncio.create_subprocess_exec

    def instead(program: str, *words: str, **more: object) -> object:
        return begin(sys.executable, str(script), *words[2:], **more)  # type: ignore[arg-type]

    monkeypatch.setattr(asyncio, "create_subprocess_exec", instead)


def lanes(**more: object) -> dict[type, Lane]:
    return {kind: dataclasses.replace(lane, **more) for kind, lane in LANES.items()}  # type: ignore[arg-type]


async def test_a_job_over_its_memory_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    playing(tmp_path, "yield bytes(2 << 30)", monkeypatch)
    jobs = opened(tmp_path / "spool")
    with pytest.raises(TooLargeError) as refused:
        await jobs.ask(DecisionAudit("", TENANT, ""))
    assert refused.value.code == "job_too_large"
    assert "768 MB" in refused.value.message
    assert jobs.counts()["look_ups"].endings == {"too_large": 1}
    await none_left(tmp_path / "spool")


async def test_a_job_over_its_time_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    playing(tmp_path, "import time; time.sleep(600); yield b''", monkeypatch)
    jobs = opened(tmp_path / "spool", lanes(time_limit_s=0.3))
    with pytest.raises(UnavailableError, match="most that one job may take"):
        await jobs.ask(DecisionAudit("", TENANT, ""))
    assert jobs.counts()["look_ups"].endings == {"too_slow": 1}
    await none_left(tmp_path / "spool")


async def test_a_job_ends_with_its_caller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    playing(tmp_path, "import time; yield b'1'; time.sleep(600)", monkeypatch)
    jobs = opened(tmp_path / "spool")
    begun = asyncio.Event()

    async def call() -> None:
        async with contextlib.aclosing(jobs.stream(DecisionAudit("", TENANT, ""))) as pieces:
            async for _ in pieces:
                begun.set()

    caller = asyncio.ensure_future(call())
    await begun.wait()
    assert len(children()) == 1
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    await none_left(tmp_path / "spool")
    assert jobs.counts()["look_ups"] == rooms.JobsCount(0, 0, {"gone": 1})


async def test_a_caller_who_takes_nothing_keeps_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    playing(tmp_path, "while True: yield bytes(60000)", monkeypatch)
    monkeypatch.setattr(rooms, "STALL_S", 0.2)
    jobs = opened(tmp_path / "spool")
    pieces = jobs.stream(DecisionAudit("", TENANT, ""))
    await anext(pieces)
    await none_left(tmp_path / "spool")
    assert jobs.counts()["look_ups"].running == 0
    with pytest.raises(UnavailableError, match="nobody took"):
        async for _ in pieces:
            pass


async def test_a_process_that_dies_is_an_error_to_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    playing(tmp_path, "import os; os.kill(os.getpid(), 9); yield b''", monkeypatch)
    with pytest.raises(UnavailableError):
        await opened(tmp_path / "spool").ask(DecisionAudit("", TENANT, ""))
    await none_left(tmp_path / "spool")


async def test_what_a_killed_gateway_left_is_removed_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "999999999" / "x").mkdir(parents=True)
    Jobs(tmp_path)
    assert left(tmp_path) == []


async def test_who_gets_no_turn_in_time_is_refused(tmp_path: Path) -> None:
    held = asyncio.Event()

    async def wait(_: object) -> list[bytes]:
        await held.wait()
        return [b"1"]

    short = dataclasses.replace(LOOK_UPS, at_once=1, patience_s=0.05)
    jobs = jobs_here(tmp_path, wait, {DecisionAudit: short, UserHistory: REPORTS})
    first = asyncio.ensure_future(jobs.ask(DecisionAudit("", TENANT, "")))
    await asyncio.sleep(0)
    with pytest.raises(OverloadError, match="no turn within"):
        await jobs.ask(DecisionAudit("", OTHER, ""))
    held.set()
    assert await first == b"1"
    assert jobs.counts()["look_ups"] == rooms.JobsCount(0, 0, {"refused": 1, "done": 1})
    assert await jobs.ask(UserHistory("", OTHER, [])) == b"1"  # another lane
