from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from actors.calls.map_holder import MapHolder
from actors.calls.partition_map import PartitionMap
from actors.files.blobs import BlobFolder, SealError, seal, unseal
from actors.learner.actor import BLOB, STORE_EVERY_S, Learning
from tests.unit.whisperer.feedback.earning import CAMPAIGN, DAY, TENANT, early, fed, final, reward, same
from whisperer.decisions.drift import ALARM_DAYS, FLOOR_IN_ALARM
from whisperer.decisions.posterior import FLOOR, decode, posterior
from whisperer.errors import UnavailableError
from whisperer.feedback.outcome import Reward
from whisperer.shard.state.rewards import RewardLog

KEY = (TENANT, CAMPAIGN)
REWARDS = [
    [early(0, "a", 0.1), reward(1, "b"), final(2, "a", 0.8), early(3, "c")],
    [reward(0, "d", group="uniform"), early(1, "a", 0.1), final(2, "c", 0.4)],
]


class Killed(BaseException):
    """kill -9: nothing after it happens."""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class FakeShards:
    """Shards as the learner sees them, with the shard's own log of rewards. ``before`` is called before every step."""

    def __init__(self, rewards: list[list[Reward]]) -> None:
        self.places = MapHolder()
        self.places.current = PartitionMap(1, len(rewards), len(rewards))
        self.logs = [RewardLog(0, list(shard)) for shard in rewards]
        self.away: set[int] = set()
        self.step: Callable[[str], None] = lambda name: None

    async def call(self, shard: int, method: str, *args: Any, timeout_s: float = 30.0) -> Any:
        self.step(f"before {method}")
        if shard in self.away:
            raise UnavailableError(f"shard-{shard} is away")
        answer = getattr(self, f"_{method}")(self.logs[shard], *args)
        self.step(f"after {method}")
        return answer

    @staticmethod
    def _rewards(log: RewardLog, since: dict[str, int], limit: int) -> list[tuple[str, Reward]]:
        return [(TENANT, one) for one in log.since(since.get(TENANT, 0), limit)]

    @staticmethod
    def _rewards_taken(log: RewardLog, tenant: str, before: int) -> None:
        log.forget(before)


class Folder(BlobFolder):
    step: Callable[[str], None] = staticmethod(lambda name: None)

    def put(self, name: str, data: bytes) -> None:
        self.step("before put")
        super().put(name, data)
        self.step("after put")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "learner")


async def rounds(learning: Learning, clock: Clock, n: int = 3) -> None:
    for _ in range(n):
        await learning.round()
        clock.now += 2 * STORE_EVERY_S


async def test_every_reward_of_every_shard_is_learned_and_then_forgotten_there(folder: Folder, clock: Clock) -> None:
    shards = FakeShards(REWARDS)
    learning = Learning(folder, shards, clock)
    await rounds(learning, clock)
    assert same(learning.ledger, fed(*REWARDS))
    assert [len(log) for log in shards.logs] == [0, 0]
    assert learning.status().rewards == {"learned": 4, "replaced": 2, "superseded": 1}


STEPS = [
    (name, nth)
    for name, n in (
        ("before rewards", 6),
        ("after rewards", 6),
        ("before put", 3),
        ("after put", 3),
        ("before rewards_taken", 4),
        ("after rewards_taken", 4),
    )
    for nth in range(1, n + 1)
]


@pytest.mark.parametrize(("name", "nth"), STEPS)
async def test_killed_between_any_two_steps_nothing_is_lost_or_counted_twice(
    folder: Folder, clock: Clock, name: str, nth: int
) -> None:
    shards = FakeShards([shard[:2] for shard in REWARDS])
    seen = 0
    published: dict[int, bytes] = {}

    def step(at: str) -> None:
        nonlocal seen
        seen += at == name
        if at == name and seen == nth:
            raise Killed(name)

    shards.step = step
    folder.step = step  # type: ignore[method-assign]
    learning, killed = Learning(folder, shards, clock), False
    for round_ in range(8):
        if round_ == 2:  # more comes while it works
            for log, rewards in zip(shards.logs, REWARDS, strict=True):
                for one in rewards[2:]:
                    log.append(one)
        try:
            await learning.round()
        except Killed:
            killed = True
            learning = Learning(Folder(folder.root), shards, clock)
        number, encoded = await learning.policies(0, 0.0)
        assert published.setdefault(number, encoded) == encoded  # a number stands for the same for ever
        clock.now += 2 * STORE_EVERY_S
    assert same(learning.ledger, fed(*REWARDS))
    assert [len(log) for log in shards.logs] == [0, 0]
    assert learning.ledger.n_missing == 0
    assert killed or seen < nth


async def test_storing_waits_its_time_while_rewards_keep_coming(folder: Folder, clock: Clock) -> None:
    shards = FakeShards([[reward(0)]])
    puts = []
    folder.step = puts.append  # type: ignore[method-assign]
    learning = Learning(folder, shards, clock)
    await learning.round()
    shards.logs[0].append(reward(1))
    await learning.round()
    assert puts.count("after put") == 1
    assert len(shards.logs[0]) == 1  # not stored yet, so not forgotten
    clock.now += STORE_EVERY_S
    await learning.round()
    await learning.round()
    assert puts.count("after put") == 2
    assert len(shards.logs[0]) == 0


async def test_a_shard_that_is_away_holds_up_nobody_and_is_told_later(folder: Folder, clock: Clock) -> None:
    shards = FakeShards(REWARDS)
    shards.away = {0}
    learning = Learning(folder, shards, clock)
    await rounds(learning, clock)
    assert learning.status().shards_away == {0: "shard-0 is away"}
    assert len(shards.logs[1]) == 0
    shards.away = set()
    await rounds(learning, clock)
    assert same(learning.ledger, fed(REWARDS[0], REWARDS[1]))
    assert [len(log) for log in shards.logs] == [0, 0]
    assert learning.status().shards_away == {}


async def test_replicas_get_what_changed_since_they_asked_and_all_at_first(folder: Folder, clock: Clock) -> None:
    shards = FakeShards([[reward(0), reward(1, campaign="other")]])
    learning = Learning(folder, shards, clock)
    assert await learning.policies(0, 0.0) == (0, (await learning.policies(0, 0.0))[1])
    await rounds(learning, clock)
    number, encoded = await learning.policies(0, 0.0)
    assert (number, set(decode(encoded))) == (1, {KEY, (TENANT, "other")})
    shards.logs[0].append(reward(2))
    await rounds(learning, clock)
    number, encoded = await learning.policies(1, 0.0)
    assert (number, set(decode(encoded))) == (2, {KEY})
    expected = posterior(learning.ledger.statistics[KEY], 2)
    assert decode(encoded)[KEY].mean.tobytes() == expected.mean.tobytes()
    assert set(decode((await learning.policies(0, 0.0))[1])) == {KEY, (TENANT, "other")}
    assert set(decode((await learning.policies(99, 0.0))[1])) == {KEY, (TENANT, "other")}


async def test_a_poll_that_waits_is_answered_by_the_next_publication(folder: Folder, clock: Clock) -> None:
    shards = FakeShards([[]])
    learning = Learning(folder, shards, clock)
    waiting = [asyncio.ensure_future(learning.policies(0, 60.0)) for _ in range(2)]
    await asyncio.sleep(0)
    shards.logs[0].append(reward(0))
    await learning.round()
    for number, encoded in await asyncio.gather(*waiting):
        assert (number, set(decode(encoded))) == (1, {KEY})
    assert await learning.policies(1, 0.0) == (1, (await learning.policies(1, 0.0))[1])


async def test_holdout_rewards_are_taken_without_a_publication(folder: Folder, clock: Clock) -> None:
    shards = FakeShards([[reward(0, group="holdout", arm="no_send")]])
    learning = Learning(folder, shards, clock)
    await rounds(learning, clock)
    assert learning.status().number == 0
    assert len(shards.logs[0]) == 0
    assert Learning(folder, shards, clock).status().number == 0


async def test_after_a_restart_the_same_numbers_stand_for_the_same_policies(folder: Folder, clock: Clock) -> None:
    learning = Learning(folder, FakeShards(REWARDS), clock)
    await rounds(learning, clock)
    before = await learning.policies(0, 0.0)
    again = Learning(folder, FakeShards([[], []]), clock)
    assert await again.policies(0, 0.0) == before
    assert np.array_equal(
        again.ledger.statistics[KEY].arm("mail").gram, learning.ledger.statistics[KEY].arm("mail").gram
    )


async def test_a_disk_that_fails_publishes_nothing_and_loses_nothing(folder: Folder, clock: Clock) -> None:
    shards = FakeShards(REWARDS)
    learning = Learning(folder, shards, clock)

    def full(name: str) -> None:
        if name == "before put":
            raise OSError(28, "no space left")

    folder.step = full  # type: ignore[method-assign]
    for _ in range(2):
        with pytest.raises(OSError, match="no space"):
            await learning.round()
    assert learning.status().number == 0
    assert [len(log) for log in shards.logs] == [4, 3]
    folder.step = lambda name: None  # type: ignore[method-assign]
    await rounds(learning, clock)
    assert learning.status().number == 1
    assert same(learning.ledger, fed(*REWARDS))


async def test_a_damaged_blob_is_not_believed(folder: Folder, clock: Clock) -> None:
    await rounds(Learning(folder, FakeShards(REWARDS), clock), clock)
    blob = bytearray(folder.get(BLOB))
    blob[len(blob) // 2] ^= 1
    folder.put(BLOB, bytes(blob))
    with pytest.raises(SealError):
        Learning(folder, FakeShards([[]]), clock)


def drifting(n: int) -> list[Reward]:
    """Rewards of one arm: a third succeeds on the first days, none later."""
    luck = np.random.default_rng(1).random(n)
    return [reward(at, value=float(at < n // 2 and luck[at] < 1 / 3), day=DAY + 6 * at // n) for at in range(n)]


async def test_an_alarm_is_published_as_a_higher_floor_survives_a_kill_and_ends(folder: Folder, clock: Clock) -> None:
    rewards = drifting(6_000)
    shards = FakeShards([[]])
    learning = Learning(folder, shards, clock)
    for at in range(0, 6_000, 250):
        for one in rewards[at : at + 250]:
            shards.logs[0].append(one)
        await rounds(learning, clock, 1)
        if at == 2_500:
            assert sum(learning.status().alarms.values()) == 0
    status = learning.status()
    assert status.alarms["residuals"] >= 1
    assert status.campaigns_in_alarm == 1
    number, encoded = await learning.policies(0, 0.0)
    assert decode(encoded)[KEY].floor == FLOOR_IN_ALARM
    assert learning.ledger.statistics[KEY].short
    again = Learning(Folder(folder.root), shards, clock)
    assert await again.policies(0, 0.0) == (number, encoded)
    assert again.status().alarms == status.alarms
    shards.logs[0].append(reward(6_000, value=0.0, day=DAY + 6 + 2 * ALARM_DAYS))
    await rounds(again, clock, 1)
    assert decode((await again.policies(0, 0.0))[1])[KEY].floor == FLOOR
    assert again.status().campaigns_in_alarm == 0


async def test_a_state_that_an_older_release_stored_is_taken_up(folder: Folder, clock: Clock) -> None:
    learning = Learning(folder, FakeShards(REWARDS), clock)
    await rounds(learning, clock)
    number, numbers, ledger, *_ = msgspec.msgpack.decode(unseal(folder.get(BLOB)))
    folder.put(BLOB, seal(msgspec.msgpack.encode([number, numbers, ledger])))
    again = Learning(folder, FakeShards([[], []]), clock)
    assert await again.policies(0, 0.0) == await learning.policies(0, 0.0)
