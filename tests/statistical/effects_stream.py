"""A stream of decisions with known ground truth: the simulator's effects, late and replaced rewards, drift.

Time passes in batches. What a batch's decisions earned is seen twice: `EARLY` batches later as far as it came early
(a part of the conversions, and the costs), and `FINAL` batches later in full. Everyone's luck is drawn before anyone
decides, so that policies differ by their choices alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from training.simulator.effects import ARMS, COST, UNSUBSCRIBE_COST, Effects
from training.simulator.truth import a_population
from whisperer.decisions.decision import Candidate, Choice
from whisperer.decisions.posterior import FLOOR, Posterior, posterior
from whisperer.decisions.thompson import choose
from whisperer.feedback.ledger import Ledger
from whisperer.feedback.outcome import Reward
from whisperer.vocabulary.groups import Group
from whisperer.vocabulary.units import DAY_MS, MICROS

EARLY, FINAL = 1, 4
DAY_0 = 20_000
TENANT, CAMPAIGN = "tenant", "campaign"
SHARE_EARLY = 0.4

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Stream:
    """Attributes
    ----------
    features : (n, len(NAMES)), raw
    day : (n,), from 0
    value : (n, n_arms), expected reward of every arm
    earned, early : (n, n_arms), reward that every arm would bring, in the end and at the early look
    """

    features: Floats
    day: Floats
    value: Floats
    earned: Floats
    early: Floats
    batch: int

    def __len__(self) -> int:
        return len(self.features)

    def batches(self) -> list[Rows]:
        return [np.arange(at, min(at + self.batch, len(self))) for at in range(0, len(self), self.batch)]

    def best_single_arm(self) -> int:
        """The arm of most value over the whole stream, known only afterwards."""
        return int(self.value.mean(axis=0).argmax())


def draw(seed: int, n: int, days: float, batch: int = 200) -> Stream:
    effects = Effects(seed)
    features, taste = a_population(n, seed)
    day = np.arange(n) * days / n
    value = effects.values(features, day, taste)
    rng = np.random.default_rng([seed, 1])
    converted = rng.random((n, 1)) < effects.probabilities(features, day, taste)
    leaves = np.stack([effects.unsubscribe_probability(features, arm) for arm in range(len(ARMS))], axis=1)
    left = rng.random((n, 1)) < leaves
    paid = COST + UNSUBSCRIBE_COST * left
    in_time = rng.random((n, 1)) < SHARE_EARLY
    return Stream(features, day, value, converted - paid, (converted & in_time) - paid, batch)


class Player(Protocol):
    """Decides rows of the stream, and is told which rows' early and final rewards are there."""

    def decide(self, rows: Rows) -> Rows: ...

    def learn(self, early: Rows, final: Rows) -> None: ...


class Ours:
    """The product's own way: candidates, choices, rewards through the ledger, posteriors after every batch."""

    def __init__(self, stream: Stream, seed: int, group: str = Group.POLICY, floor: float = FLOOR) -> None:
        self._stream = stream
        self._seed = seed
        self._group = group
        self._floor = floor
        self.ledger = Ledger()
        self._policies: dict[tuple[str, str], Posterior] = {}
        self.choices: dict[int, Choice] = {}
        self._number = 0

    def decide(self, rows: Rows) -> Rows:
        made = choose([self._candidate(int(row)) for row in rows], self._policies, self._floor)
        self.choices.update(zip(rows.tolist(), made, strict=True))
        return np.array([ARMS.index(choice.arm) for choice in made])

    def learn(self, early: Rows, final: Rows) -> None:
        rewards = [self._reward(row, False) for row in early.tolist()]
        rewards += [self._reward(row, True) for row in final.tolist()]
        if self.ledger.apply(0, [(TENANT, reward) for reward in rewards]):
            self._policies = {key: posterior(held, self._number) for key, held in self.ledger.statistics.items()}

    def _candidate(self, row: int) -> Candidate:
        features = self._stream.features[row].tolist()
        return Candidate(f"dec_{self._seed}_{row}", TENANT, CAMPAIGN, 1, self._group, list(ARMS), features, 0)

    def _reward(self, row: int, mature: bool) -> Reward:
        choice = self.choices[row]
        earned = (self._stream.earned if mature else self._stream.early)[row, ARMS.index(choice.arm)]
        self._number += 1
        return Reward(
            self._number - 1,
            choice.decision_id,
            CAMPAIGN,
            1,
            self._group,
            choice.arms,
            choice.arm,
            choice.propensity,
            self._stream.features[row].tolist(),
            round(float(earned) * MICROS),
            1 + mature,
            mature,
            int((DAY_0 + self._stream.day[row]) * DAY_MS),
        )


def play(stream: Stream, player: Player) -> Rows:
    """Arms taken over the stream; rewards reach the player as late as they do."""
    taken = np.zeros(len(stream), np.int64)
    nothing = np.zeros(0, np.int64)
    batches = stream.batches()
    for now, rows in enumerate(batches):
        early = batches[now - EARLY] if now >= EARLY else nothing
        final = batches[now - FINAL] if now >= FINAL else nothing
        player.learn(early, final)
        taken[rows] = player.decide(rows)
    return taken


def regret(stream: Stream, taken: Rows) -> Floats:
    """Expected reward given away so far, against the best arm for each, hidden tastes included; shape (n,)."""
    return np.cumsum(stream.value.max(axis=1) - stream.value[np.arange(len(stream)), taken])


__all__ = ["ARMS", "Ours", "Player", "Rows", "Stream", "draw", "play", "regret"]
