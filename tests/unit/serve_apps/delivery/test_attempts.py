"""What is noted of attempts: one process has each, whoever comes later learns what is known, also after kill -9."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from serve_apps.delivery.attempts import (
    AWAY_MS,
    FORGOTTEN_MS,
    Attempt,
    AttemptFile,
    Attempts,
    Begun,
    Known,
    Leave,
    Recalled,
    attempt_of,
)
from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.dispatch import Receipt, Verdict
from whisperer.ids import SendKey, TenantId

NOW = 1_700_000_000_000


def attempt(number: int = 0, key: str = "sk_1", tenant: str = "tn_1") -> Attempt:
    return Attempt(TenantId(tenant), SendKey(key), number)


GOING_ON, LOST = Begun("smtp", goes_on=True), Begun("smtp", goes_on=False)


def noted(number: int = 0, key: str = "sk_1", tenant: str = "tn_1") -> tuple[Attempt, str]:
    return attempt(number, key, tenant), "smtp"


def accepted(key: str = "sk_1") -> Receipt:
    return Receipt(SendKey(key), Verdict.ACCEPTED, "smtp", "queued-17")


def test_the_same_attempt_twice_in_one_note_is_new_once(path: Path) -> None:
    file = AttemptFile(path)
    assert file.begin([noted(), noted(key="sk_2"), noted()], NOW) == [None, None, LOST]
    assert file.begin([noted(key="sk_3"), noted(), noted(key="sk_3")], NOW) == [None, LOST, LOST]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "attempts.db"


@contextmanager
def begun_by_another(path: Path) -> Iterator[None]:
    """Another process has begun `sk_1`, and is killed at the end of the block."""
    code = (
        "import sys, time; from pathlib import Path; from serve_apps.delivery.attempts import AttemptFile, Attempt;"
        f"f = AttemptFile(Path(sys.argv[1])); f.begin([(Attempt('tn_1', 'sk_1', 0), 'smtp')], {NOW}); print('begun', flush=True);"
        "time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            yield
        finally:
            os.kill(process.pid, signal.SIGKILL)


def test_what_nobody_began_is_new_and_each_attempt_is_another(path: Path) -> None:
    file = AttemptFile(path)
    those = [noted(), noted(1), noted(tenant="tn_2"), noted(key="sk_2")]
    assert file.begin(those, NOW) == [None] * 4


def test_what_has_ended_gives_its_receipt_also_to_a_successor(path: Path) -> None:
    file = AttemptFile(path)
    file.begin([noted()], NOW)
    file.end([(attempt(), accepted())], NOW)
    file.close()
    assert AttemptFile(path).begin([noted(), noted(1)], NOW) == [accepted(), None]


def test_what_a_living_process_has_goes_on_and_what_a_killed_one_had_is_lost(path: Path) -> None:
    with begun_by_another(path):
        file = AttemptFile(path)
        assert file.begin([noted()], NOW) == [GOING_ON]
    assert file.begin([noted()], NOW) == [LOST]
    file.end([(attempt(), accepted())], NOW)
    assert file.begin([noted()], NOW) == [accepted()]


def test_a_process_that_could_not_note_the_end_has_lost_the_attempt(path: Path) -> None:
    file = AttemptFile(path)
    file.begin([noted()], NOW)
    assert file.begin([noted()], NOW) == [LOST]


def test_a_process_of_another_machine_counts_as_gone_after_a_while(path: Path) -> None:
    AttemptFile(path).begin([noted()], NOW)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE owner SET host = 'elsewhere'")
    connection.close()
    file = AttemptFile(path)
    assert file.begin([noted()], NOW + AWAY_MS - 1) == [GOING_ON]
    assert file.begin([noted()], NOW + AWAY_MS) == [LOST]


def test_the_newest_that_ended_are_kept_and_what_goes_on_is_not_deleted(path: Path) -> None:
    file = AttemptFile(path, keep=10)
    file.begin([noted(key="open")], NOW)
    keys = [f"sk_{n}" for n in range(2_000)]
    file.begin([noted(key=key) for key in keys], NOW)
    file.end([(attempt(key=key), accepted(key)) for key in keys], NOW)
    assert file.begin([noted(key="open")], NOW) == [LOST]
    assert file.begin([noted(key=keys[-1])], NOW) == [accepted(keys[-1])]
    assert file.begin([noted(key=keys[0])], NOW) == [None]
    file.end([(attempt(key=key), accepted(key)) for key in keys], NOW + FORGOTTEN_MS + 1)
    assert file.begin([noted(key="open")], NOW + FORGOTTEN_MS + 1) == [None]


def test_the_file_is_its_owners_alone(path: Path) -> None:
    AttemptFile(path)
    assert [p.stat().st_mode & 0o077 for p in path.parent.iterdir()] == [0] * len(list(path.parent.iterdir()))


async def test_notes_that_come_together_are_one_commit(path: Path) -> None:
    class Counted(AttemptFile):
        def begin(self, asked: Sequence[tuple[Attempt, str]], now: int) -> list[Known]:
            calls.append(len(asked))
            return super().begin(asked, now)

    calls: list[int] = []
    attempts = Attempts(Counted(path), lambda: NOW)
    found = await asyncio.gather(*(attempts.begin(noted(key=f"sk_{n}")) for n in range(50)))
    assert found == [None] * 50
    assert calls == [50]
    await attempts.end((attempt(key="sk_0"), accepted("sk_0")))
    assert await attempts.begin(noted(key="sk_0")) == accepted("sk_0")


async def test_a_file_that_cannot_be_written_says_so_to_everybody_who_asked(path: Path) -> None:
    file = AttemptFile(path)
    file.close()
    with pytest.raises(sqlite3.Error):
        await Attempts(file, lambda: NOW).begin(noted())


async def leaving(file: AttemptFile, *accounts: str) -> tuple[Leave, list[Receipt | None]]:
    leave = Leave(Attempts(file, lambda: NOW), dispatch())
    return leave, [await leave(account) for account in accounts]


async def test_an_attempt_that_fails_over_is_noted_at_the_account_that_it_goes_to_last(path: Path) -> None:
    file = AttemptFile(path)
    leave, said = await leaving(file, "first", "second")
    assert said == [None, None]
    assert leave.needs_end
    assert file.begin([(attempt_of(dispatch()), "first")], NOW) == [Begun("second", goes_on=False)]


async def test_what_is_lost_is_unknown_from_then_on_at_the_account_that_had_it(path: Path) -> None:
    file = AttemptFile(path)
    await leaving(file, "first")
    leave, [found] = await leaving(file, "first")
    assert isinstance(found, Recalled)
    assert (found.status, found.provider, found.repeatable) == (Verdict.UNKNOWN, "first", False)
    assert leave.needs_end
    await leave.end(found)
    leave, [again] = await leaving(file, "first")
    assert again == found
    assert not leave.needs_end


async def test_what_cannot_be_noted_is_not_sent_and_tried_again(path: Path) -> None:
    file = AttemptFile(path)
    file.close()
    leave, [found] = await leaving(file, "first")
    assert found is not None
    assert (found.status, leave.needs_end) == (Verdict.RETRY, False)


async def test_what_goes_on_elsewhere_is_asked_for_again(path: Path) -> None:
    file = AttemptFile(path)
    await leaving(file, "first")
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE owner SET pid = ?, started = ?", (os.getpid(), psutil.Process().create_time()))
    connection.close()
    leave, [found] = await leaving(AttemptFile(path), "first")
    assert found is not None
    assert (found.status, leave.needs_end) == (Verdict.WAITING, False)
