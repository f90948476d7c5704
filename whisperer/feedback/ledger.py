"""Decide which rewards count: each decision once, in whatever order shards report it.

    number below the offset      seen already: ignored
    propensity, arm, group       must be what a decision can have, else refused with a reason
    holdout                      counted, not learned from: it is what the policy is compared with
    early, first seen            learned, and remembered until it matures
    later revision               replaces the earlier one exactly
    mature                       learned (or replaces the early one) and final: nothing later changes it

Uniform and policy decisions are both learned from, never weighted by 1/p. A reward is weighted by the UTC day of the
decision's first known reward, and a later revision keeps that weight, so a replaced reward leaves no trace.

Offsets are part of the state: :meth:`Ledger.state_bytes` holds the statistics together with the offsets of the rewards
in them, so that storing it as one piece counts every reward once. Memory is bounded: while ``max_early`` decisions wait
for their final reward, the early looks of others are skipped and they are learned from when they mature; a decision
that has waited for `WAIT_DAYS` (its user was erased, say) waits no longer, and its early reward stands. Leaves pulling,
storing and publishing to :mod:`actors.learner.actor`.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Sequence
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.decisions.context import SCORE, bounded_scores, rows_of, transform
from whisperer.decisions.linear import CampaignStatistics, OtherContextError
from whisperer.feedback.outcome import Reward
from whisperer.ids import DecisionId, TenantId
from whisperer.vocabulary.groups import GROUPS, Group
from whisperer.vocabulary.units import DAY_MS, MICROS

FORM_VERSION = 1
WAIT_DAYS = 90

Campaign = tuple[TenantId, str]
"""(tenant, campaign)"""

Look = Callable[[Campaign, str, NDArray[np.float64], NDArray[np.float64], int], None]
"""Called with an arm's rewards that became final: campaign, arm, x (m, D), reward (m,), the latest UTC day of them."""


class RewardFate(StrEnum):
    """Name what became of a reward. ``bad_propensity`` and the next ones are refusals: the shard has a bug."""

    LEARNED = "learned"
    REPLACED = "replaced"
    HOLDOUT = "holdout"
    REPEATED = "repeated"
    SUPERSEDED = "superseded"
    DEFERRED = "deferred"
    BAD_PROPENSITY = "bad_propensity"
    BAD_GROUP = "bad_group"
    BAD_ARM = "bad_arm"


class _Early(msgspec.Struct, array_like=True):
    """Remember a decision's reward that may still be replaced."""

    micros: int
    revision: int
    day: int


class _State(msgspec.Struct, array_like=True):
    form: int
    offsets: dict[str, dict[TenantId, int]]
    early: dict[bytes, _Early]
    final: list[bytes]
    fates: dict[str, int]
    n_missing: int
    statistics: list[tuple[TenantId, str, bytes]]


class _Changes:
    """Gather a batch's work on one arm, so that it takes only a few matrix products."""

    __slots__ = ("days", "features", "mature", "new", "old", "scores", "seen")

    def __init__(self) -> None:
        self.features: list[list[float]] = []
        self.scores: list[float] = []
        self.days: list[int] = []
        self.old: list[float] = []
        self.new: list[float] = []
        self.mature: list[bool] = []
        self.seen: list[int] = []

    def x(self) -> NDArray[np.float64]:
        """Return the decisions' context vectors, shape (m, D)."""
        x = transform(rows_of(self.features))
        x[:, SCORE] = bounded_scores(np.array(self.scores))
        return x


class Ledger:
    """Hold the statistics of every campaign, and how far each shard's rewards are in them.

    Parameters
    ----------
    discount_per_day : weight that a reward keeps after a day, as a share
    max_early : most decisions that wait for their final reward
    max_final : most decisions remembered as final, the newest

    Attributes
    ----------
    statistics : by (tenant, campaign)
    fates : number of rewards by what became of them
    n_missing : numbers that were skipped: rewards that a shard no longer had
    dropped : campaigns that start learning afresh because the context changed
    """

    def __init__(self, discount_per_day: float = 0.99, *, max_early: int = 100_000, max_final: int = 100_000) -> None:
        self._discount_per_day = discount_per_day
        self._max_early = max_early
        self._max_final = max_final
        self._offsets: dict[int, dict[TenantId, int]] = {}
        self._early: dict[bytes, _Early] = {}
        self._final: dict[bytes, None] = {}
        self.statistics: dict[Campaign, CampaignStatistics] = {}
        self.fates: Counter[RewardFate] = Counter()
        self.n_missing = 0
        self.dropped: list[Campaign] = []

    def since(self, shard: int) -> dict[TenantId, int]:
        """Return tenant -> number of this shard's first reward that is not in the statistics."""
        return dict(self._offsets.get(shard, {}))

    @property
    def offsets(self) -> dict[tuple[int, TenantId], int]:
        """Return the same numbers as :meth:`since` by (shard, tenant)."""
        return {(shard, tenant): n for shard, numbers in self._offsets.items() for tenant, n in numbers.items()}

    @property
    def n_early(self) -> int:
        """Return how many decisions wait for their final reward."""
        return len(self._early)

    def apply(
        self, shard: int, rewards: Sequence[tuple[TenantId, Reward]], look: Look = lambda *_: None
    ) -> set[Campaign]:
        """Count (tenant, reward) pairs of one shard, in its order; return the campaigns whose statistics changed.

        ``look`` is called with each decision's final reward once, before it is learned from.
        """
        added: dict[tuple[TenantId, str, str], _Changes] = {}
        replaced: dict[tuple[TenantId, str, str], _Changes] = {}
        offsets = self._offsets.setdefault(shard, {})
        for tenant, reward in rewards:
            expected = offsets.get(tenant, 0)
            if reward.number < expected:
                self.fates[RewardFate.REPEATED] += 1
                continue
            self.n_missing += reward.number - expected
            offsets[tenant] = reward.number + 1
            before = self._early.get(_key(tenant, reward.decision_id))
            fate = _fault_of(reward) or self._settle(tenant, reward, before)
            self.fates[fate] += 1
            place = (tenant, reward.campaign, reward.arm)
            if fate is RewardFate.LEARNED:
                _note(added.setdefault(place, _Changes()), reward, 0, reward.at // DAY_MS)
            elif fate is RewardFate.REPLACED and before is not None:
                _note(replaced.setdefault(place, _Changes()), reward, before.micros, before.day)
        # Additions first: a decision's early and final rewards may be in one batch.
        for changed, learn in ((added, self._add), (replaced, self._replace)):
            for (tenant, campaign, arm), changes in changed.items():
                x, final = changes.x(), np.array(changes.mature)
                if final.any():
                    reward, day = np.array(changes.new)[final], max(np.array(changes.seen)[final])
                    look((tenant, campaign), arm, x[final], reward, int(day))
                learn(self._of(tenant, campaign), arm, x, changes)
        return {place[:2] for place in (*added, *replaced)}

    def _settle(self, tenant: TenantId, reward: Reward, before: _Early | None) -> RewardFate:
        """Decide what becomes of a valid reward, and remember what later ones need."""
        key = _key(tenant, reward.decision_id)
        if reward.group == Group.HOLDOUT:
            return RewardFate.HOLDOUT
        if key in self._final or (before is not None and reward.revision <= before.revision):
            return RewardFate.SUPERSEDED
        today = reward.at // DAY_MS
        if reward.mature:
            self._early.pop(key, None)
            self._finish(key)
        elif before is not None:
            self._early[key] = _Early(reward.reward_micros, reward.revision, before.day)
        elif self._is_full(today):
            return RewardFate.DEFERRED
        else:
            self._early[key] = _Early(reward.reward_micros, reward.revision, today)
        return RewardFate.LEARNED if before is None else RewardFate.REPLACED

    def _finish(self, key: bytes) -> None:
        self._final[key] = None
        if len(self._final) > self._max_final:
            del self._final[next(iter(self._final))]

    def _is_full(self, today: int) -> bool:
        """Return whether no further decision can wait, after dropping those that waited too long, oldest first."""
        while len(self._early) >= self._max_early:
            oldest = next(iter(self._early))
            if self._early[oldest].day > today - WAIT_DAYS:
                return True
            del self._early[oldest]
            self._finish(oldest)
        return False

    def _of(self, tenant: TenantId, campaign: str) -> CampaignStatistics:
        found = self.statistics.get((tenant, campaign))
        if found is None:
            found = self.statistics[tenant, campaign] = CampaignStatistics(self._discount_per_day)
        return found

    @staticmethod
    def _add(statistics: CampaignStatistics, arm: str, x: NDArray[np.float64], changes: _Changes) -> None:
        weights = statistics.weights(np.array(changes.days))
        statistics.arm(arm).add(x, np.array(changes.new), weights)

    @staticmethod
    def _replace(statistics: CampaignStatistics, arm: str, x: NDArray[np.float64], changes: _Changes) -> None:
        weights = statistics.weights(np.array(changes.days))
        statistics.arm(arm).replace(x, np.array(changes.old), np.array(changes.new), weights)

    def state_bytes(self) -> bytes:
        """Encode everything, to be stored as one piece."""
        return msgspec.msgpack.encode(
            _State(
                FORM_VERSION,
                {str(shard): offsets for shard, offsets in self._offsets.items()},
                self._early,
                list(self._final),
                {str(fate): n for fate, n in self.fates.items()},
                self.n_missing,
                [(tenant, campaign, held.to_bytes()) for (tenant, campaign), held in self.statistics.items()],
            )
        )

    @classmethod
    def from_bytes(
        cls, data: bytes, discount_per_day: float = 0.99, *, max_early: int = 100_000, max_final: int = 100_000
    ) -> Ledger:
        """Restore what :meth:`state_bytes` wrote. Raises msgspec.ValidationError for other bytes.

        Statistics over another version of the context are dropped, and with them all early rewards, which are part of
        them: those decisions count when they mature.
        """
        state = msgspec.msgpack.decode(data, type=_State)
        if state.form != FORM_VERSION:
            raise msgspec.ValidationError(f"form {state.form}: this release reads {FORM_VERSION}")
        made = cls(discount_per_day, max_early=max_early, max_final=max_final)
        made._offsets = {int(shard): offsets for shard, offsets in state.offsets.items()}
        made._final = dict.fromkeys(state.final)
        made.fates = Counter({RewardFate(fate): n for fate, n in state.fates.items()})
        made.n_missing = state.n_missing
        for tenant, campaign, encoded in state.statistics:
            try:
                made.statistics[tenant, campaign] = CampaignStatistics.from_bytes(encoded)
            except OtherContextError:
                made.dropped.append((tenant, campaign))
        made._early = {} if made.dropped else state.early
        return made


def _fault_of(reward: Reward) -> RewardFate | None:
    p = reward.propensity
    if not (math.isfinite(p) and 0.0 < p <= 1.0):
        return RewardFate.BAD_PROPENSITY
    if reward.group not in GROUPS:
        return RewardFate.BAD_GROUP
    return None if reward.arm in reward.arms else RewardFate.BAD_ARM


def _note(changes: _Changes, reward: Reward, old_micros: int, day: int) -> None:
    changes.features.append(reward.features)
    changes.scores.append(reward.score)
    changes.days.append(day)
    changes.mature.append(reward.mature)
    changes.seen.append(reward.at // DAY_MS)
    changes.old.append(old_micros / MICROS)
    changes.new.append(reward.reward_micros / MICROS)


def _key(tenant: TenantId, decision_id: DecisionId) -> bytes:
    """Hash a decision to only 12 bytes, as the keys of up to 200,000 are written twice a second."""
    return hashlib.blake2b(f"{tenant}\x1f{decision_id}".encode("utf-8", "surrogatepass"), digest_size=12).digest()
