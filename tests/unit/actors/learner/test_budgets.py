"""Money between the learner and a replica: durable before it is told of, waited for no longer than said."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from actors.files.blobs import BlobFolder
from actors.learner.budgets import BLOB, Treasury
from serve_apps.decisions.leasing import PAUSE_S, Leasing
from tests.unit.whisperer.decisions.test_budget import COSTS, DAY, POLICIES, cost, paying
from whisperer.decisions.budget import Budget
from whisperer.decisions.decision import Candidate
from whisperer.decisions.thompson import choose
from whisperer.errors import UnavailableError
from whisperer.vocabulary.units import DAY_MS, MICROS

NOON = DAY * DAY_MS + DAY_MS // 2
BUDGET = Budget(60 * MICROS)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Learner:
    """A treasury that dies between storing and answering, or before either."""

    def __init__(self, folder: Path) -> None:
        self.folder = BlobFolder(folder)
        self.treasury = Treasury(self.folder, lambda: NOON)
        self.dies = ""
        self.n_asked = 0

    async def __call__(self, holder: str, asks: bytes) -> bytes:
        self.n_asked += 1
        if self.dies != "before":
            answer = await self.treasury.lease(holder, asks)
            if not self.dies:
                return answer
        self.treasury = Treasury(self.folder, lambda: NOON)
        raise UnavailableError("the learner died")


def batch(n: int, name: str) -> list[Candidate]:
    return paying(n, BUDGET, NOON, name=name)


async def decided(leasing: Leasing, asked: list[Candidate]) -> int:
    await leasing.ready(asked)
    return cost(choose(asked, POLICIES, wallet=leasing.wallet))


@pytest.mark.parametrize("dies", ["before", "after"])
async def test_a_learner_that_dies_before_or_after_it_stored_grants_nothing_twice(tmp_path: Path, dies: str) -> None:
    learner, clock, spent = Learner(tmp_path), Clock(), 0
    replicas = [Leasing(learner, clock) for _ in range(2)]
    for round_ in range(60):
        learner.dies = dies if round_ % 3 == 0 else ""
        clock.now += 2 * PAUSE_S
        spent += await decided(replicas[round_ % 2], batch(10, f"d{round_}"))
    granted = learner.treasury.status()[0].granted
    assert 25 * MICROS < spent <= granted * MICROS <= 60 * MICROS * 13 / 24 + 1
    assert Treasury(learner.folder).status()[0].granted == granted


async def test_a_grant_that_cannot_be_stored_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    learner = Learner(tmp_path)
    leasing = Leasing(learner, Clock())

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(learner.folder, "put", full)
    assert await decided(leasing, batch(20, "first")) == 0
    assert BLOB not in learner.folder.names()


async def test_no_batch_waits_for_a_learner_that_is_away_or_has_nothing_until_the_pause_is_over(tmp_path: Path) -> None:
    learner, clock = Learner(tmp_path), Clock()
    leasing, learner.dies = Leasing(learner, clock), "before"
    for at in range(5):
        assert await decided(leasing, batch(3, f"x{at}")) == 0
    assert learner.n_asked == 1
    clock.now, learner.dies = PAUSE_S, ""
    assert await decided(leasing, batch(30, "y")) > 0
    assert learner.n_asked == 2


async def test_whoever_has_no_budget_asks_nobody(tmp_path: Path) -> None:
    learner = Learner(tmp_path)
    leasing = Leasing(learner, Clock())
    plain = [msgspec.structs.replace(one, budget=None, costs=[]) for one in batch(20, "z")]
    await leasing.ready(plain)
    await leasing.round()
    assert learner.n_asked == 0
    assert any(choice.arm != "no_send" for choice in choose(plain, POLICIES, wallet=leasing.wallet))


async def test_batches_that_come_together_are_both_lent_to(tmp_path: Path) -> None:
    learner = Learner(tmp_path)
    leasing = Leasing(learner, Clock())
    spent = await asyncio.gather(*(decided(leasing, batch(4, name)) for name in "ab"))
    assert min(spent) > 0
    assert sum(spent) <= learner.treasury.status()[0].granted * MICROS
    await leasing.round()
    assert learner.treasury.status()[0].spent * MICROS == sum(spent)
    assert max(COSTS) * 4 <= leasing.wallet.of(batch(1, "c")[0]).granted_micros
