"""The learner: pull rewards from the shards, keep statistics of them, and publish them to whoever decides.

In a round it pulls from every shard, counts (:mod:`whisperer.feedback.ledger`), stores statistics and offsets in one
blob, publishes, and reports to the shards what is stored. Guarantees: killed at any moment, no reward is lost or
counted twice. What is pulled but not stored is pulled again; what is stored but not yet forgotten by a shard lies below
the stored offset. What is published was stored before, so a number stands for the same statistics for ever. Final
rewards are watched for drift (:mod:`whisperer.decisions.drift`): an alarm is published with the policy, as a higher
floor, and shortens the memory of its statistics. Results by version of a value model are counted separately
(:mod:`actors.learner.tallies`), as is the money of campaigns' budgets (:mod:`actors.learner.budgets`).

Leaves to others: who asks for policies (`serve_apps.decisions`), and starting the actor (:mod:`actors.boot`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable
from typing import Any, Protocol

import msgspec

from actors.calls.learner_views import LearnerStatus, VersionsReport
from actors.calls.map_holder import MapHolder
from actors.calls.named_actor import LEARNER
from actors.calls.plain import Plain, plain, read
from actors.calls.shards import ShardCalls
from actors.files.blobs import BlobFolder, seal, unseal
from actors.installation import configure_logs, load
from actors.learner.budgets import Treasury
from actors.learner.tallies import PolicyStage, Tallies
from whisperer.decisions.drift import ALARM_DAYS, DriftWatch, totals
from whisperer.decisions.posterior import FLOOR, Array, Posterior, encode, posterior
from whisperer.errors import UnavailableError
from whisperer.feedback.ledger import Campaign, Ledger
from whisperer.feedback.outcome import Reward
from whisperer.ids import TenantId

ROUND_S = 0.2
STORE_EVERY_S = 0.5
STORE_SHARE = 0.1
"""Storing may take this share of the time: it happens less often with a large state."""
REFRESH_S = 5.0
CALL_TIMEOUT_S = 2.0
LIMIT = 5_000
"""Rewards that one call returns."""

FOLDER, BLOB = "learner", "statistics"

_log = logging.getLogger("whisperer.learner")


class RewardSources(Protocol):
    """What the learner uses of :class:`actors.calls.shards.ShardCalls`."""

    places: MapHolder

    async def call(self, shard: int, method: str, *args: Any, timeout_s: float = ...) -> Any: ...


class _Stored(msgspec.Struct, array_like=True):
    """``numbers``: [tenant, campaign, number of its last publication]; ``floors``, parallel, of that publication."""

    number: int
    numbers: list[tuple[TenantId, str, int]]
    ledger: bytes
    floors: list[float] = []
    watches: list[tuple[TenantId, str, DriftWatch]] = []
    stages: list[PolicyStage] = []


class Learning:
    """Learn from rewards, without Ray; use from one event loop.

    Parameters
    ----------
    folder : where the one blob lives
    clock : seconds, monotonic
    """

    def __init__(self, folder: BlobFolder, shards: RewardSources, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._shards = shards
        self._clock = clock
        self._number = 0
        self._policies: dict[Campaign, Posterior] = {}
        self._watches: dict[Campaign, DriftWatch] = {}
        self.tallies = Tallies()
        self._changed: set[Campaign] = set()
        self._unstored = False
        self._stored_offsets: dict[tuple[int, TenantId], int] = {}
        self._told: dict[tuple[int, TenantId], int] = {}
        self._away: dict[int, str] = {}
        self._published = asyncio.Event()
        self._stored_at = -float("inf")
        self._store_took_s = 0.0
        try:
            blob = folder.get(BLOB)
        except FileNotFoundError:
            self.ledger = Ledger()
        else:
            self._restore(msgspec.msgpack.decode(unseal(blob), type=_Stored))

    def _restore(self, stored: _Stored) -> None:
        self.ledger = Ledger.from_bytes(stored.ledger)
        if self.ledger.dropped:
            _log.warning("the context has changed: %d campaigns are learned anew", len(self.ledger.dropped))
        self._number = stored.number
        self._stored_offsets = self.ledger.offsets
        self._watches = {(tenant, campaign): watch for tenant, campaign, watch in stored.watches}
        self.tallies.restore(stored.stages)
        floors = stored.floors or [FLOOR] * len(stored.numbers)
        for (tenant, name, number), floor in zip(stored.numbers, floors, strict=True):
            if (tenant, name) in self.ledger.statistics:
                self._policies[tenant, name] = posterior(self.ledger.statistics[tenant, name], number, floor)

    async def round(self) -> bool:
        """Pull and count once, and store if it is time; return whether a shard has more to give at once."""
        shards = self._shards.places.current.shards
        pulled = await asyncio.gather(*(self._pull(shard) for shard in shards))
        for shard, rewards in zip(shards, pulled, strict=True):
            if rewards:
                self._tally(shard, rewards)
                self._changed |= self.ledger.apply(shard, rewards, self._look)
                self._unstored = True
        since = self._clock() - self._stored_at
        if self._unstored and since >= max(STORE_EVERY_S, self._store_took_s / STORE_SHARE):
            await self.store()
        await self._tell()
        return any(len(rewards) >= LIMIT for rewards in pulled)

    async def store(self) -> None:
        """Make everything counted so far durable, then publish it. Raises OSError; nothing is published then."""
        begun = self._clock()
        number = self._number + bool(self._changed)
        fresh = {campaign: self._posterior(campaign, number) for campaign in self._changed}
        policies = {**self._policies, **fresh}
        numbers = [(tenant, campaign, policy.number) for (tenant, campaign), policy in policies.items()]
        floors = [policy.floor for policy in policies.values()]
        watches = [(tenant, campaign, watch) for (tenant, campaign), watch in self._watches.items()]
        blob = seal(
            msgspec.msgpack.encode(
                _Stored(number, numbers, self.ledger.state_bytes(), floors, watches, self.tallies.state())
            )
        )
        offsets = self.ledger.offsets
        await asyncio.to_thread(self._folder.put, BLOB, blob)
        self._stored_at = self._clock()
        self._store_took_s = self._stored_at - begun
        self._unstored, self._changed = False, set()
        self._stored_offsets = offsets
        if fresh:
            self._policies, self._number = policies, number
            self._published.set()
            self._published = asyncio.Event()

    async def policies(self, since: int, wait_s: float) -> tuple[int, bytes]:
        """Return the newest publication's number and the posteriors published after ``since``.

        Waits up to ``wait_s`` for one. ``since`` 0, or above every existing number (this learner started over), is
        answered with all of them.
        """
        if since > self._number:
            since = 0
        elif since == self._number:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._published.wait(), wait_s)
        newer = [(campaign, policy) for campaign, policy in self._policies.items() if policy.number > since]
        return self._number, encode(newer)

    def status(self, n_budgets: int = 0) -> LearnerStatus:
        """Return the learner's numbers for people and metrics; ``n_budgets`` windows are open."""
        return LearnerStatus(
            pid=os.getpid(),
            number=self._number,
            campaigns=len(self._policies),
            rewards={str(fate): n for fate, n in sorted(self.ledger.fates.items())},
            missing=self.ledger.n_missing,
            waiting_to_mature=self.ledger.n_early,
            alarms=totals(list(self._watches.values())),
            campaigns_in_alarm=sum(policy.floor > FLOOR for policy in self._policies.values()),
            models=self.tallies.status(),
            unstored=self._unstored,
            store_s=round(self._store_took_s, 4),
            shards_away=dict(self._away),
            budgets=n_budgets,
        )

    def _posterior(self, campaign: Campaign, number: int) -> Posterior:
        statistics, watch = self.ledger.statistics[campaign], self._watches.get(campaign)
        return posterior(statistics, number, FLOOR if watch is None else watch.floor(statistics.day))

    def served(self, replica: str, report: VersionsReport) -> bytes:
        """Keep what a replica of the decisions application counted; return the totals by version over all replicas."""
        self.tallies.told(replica, report)
        return msgspec.msgpack.encode(self.tallies.totals())

    def _tally(self, shard: int, rewards: list[tuple[TenantId, Reward]]) -> None:
        known = self.ledger.since(shard)
        for tenant, reward in rewards:
            if reward.number >= known.get(tenant, 0):
                self.tallies.saw(tenant, reward)

    def _look(self, campaign: Campaign, arm: str, x: Array, reward: Array, day: int) -> None:
        """Compare final rewards with what the published policy expects of them; an alarm takes effect here."""
        policy, statistics = self._policies.get(campaign), self.ledger.statistics.get(campaign)
        if policy is None or statistics is None or arm not in policy.arms:
            return
        expected = x @ policy.mean[policy.arms.index(arm)]
        watch = self._watches.setdefault(campaign, DriftWatch())
        if watch.see(arm, x, expected, reward, day, statistics.arm(arm).n):
            statistics.advance(day)
            statistics.shorten_memory(ALARM_DAYS)
            _log.warning("rewards of %s/%s are not what they were: exploring more for a while", *campaign)

    async def _pull(self, shard: int) -> list[tuple[TenantId, Reward]]:
        try:
            rewards: list[tuple[TenantId, Reward]] = await self._shards.call(
                shard, "rewards", self.ledger.since(shard), LIMIT, timeout_s=CALL_TIMEOUT_S
            )
        except UnavailableError as error:
            self._away[shard] = error.message
            return []
        self._away.pop(shard, None)
        return rewards

    async def _tell(self) -> None:
        """Report to shards what they need not keep; one that is away gets it in a later round."""
        for (shard, tenant), before in self._stored_offsets.items():
            if (
                self._told.get((shard, tenant)) == before
                or shard in self._away
                or shard in self._shards.places.current.retired
            ):
                continue
            try:
                await self._shards.call(shard, "rewards_taken", tenant, before, timeout_s=CALL_TIMEOUT_S)
            except UnavailableError as error:
                self._away[shard] = error.message
            else:
                self._told[shard, tenant] = before


class Learner:
    """Ray actor ``learner`` in namespace ``whisperer``; its constructor loads what was stored."""

    def __init__(self, installation_path: str) -> None:
        installation = load(installation_path)
        configure_logs(installation_path, LEARNER)
        self._shards = ShardCalls()
        folder = BlobFolder(f"{installation.data_dir}/{FOLDER}")
        self._learning, self._treasury = Learning(folder, self._shards), Treasury(folder)
        self._task = asyncio.ensure_future(self._learn_forever())

    def __repr__(self) -> str:
        return "Learner"

    async def policies(self, since: int, wait_s: float) -> tuple[int, bytes]:
        """See :meth:`Learning.policies`."""
        return await self._learning.policies(since, wait_s)

    async def served(self, replica: str, report: Plain) -> bytes:
        """See :meth:`Learning.served`."""
        return self._learning.served(replica, read(report, VersionsReport))

    async def lease(self, holder: str, asks: bytes) -> bytes:
        """See :meth:`actors.learner.budgets.Treasury.lease`."""
        return await self._treasury.lease(holder, asks)

    async def budgets(self, tenant: TenantId, campaign: str) -> Plain:
        """Return a campaign's windows, list[BudgetWindow]."""
        return plain([one for one in self._treasury.status() if (one.tenant, one.campaign) == (tenant, campaign)])

    async def status(self) -> Plain:
        """See :meth:`Learning.status`."""
        return plain(self._learning.status(len(self._treasury.status())))

    async def _learn_forever(self) -> None:
        refreshed_at = -REFRESH_S
        while True:
            try:
                if time.monotonic() - refreshed_at >= REFRESH_S:
                    await self._shards.places.refresh()
                    refreshed_at = time.monotonic()
                more = await self._learning.round()
                await asyncio.sleep(0.0 if more else ROUND_S)
            except UnavailableError:
                await asyncio.sleep(ROUND_S)
            except Exception:
                _log.exception("a round of learning failed; trying again")
                await asyncio.sleep(1.0)
