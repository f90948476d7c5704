"""Rewards that the learner has not stored yet, numbered without gaps: what it pulls, by offset.

A learner that stays away must not fill the shard's memory: beyond `MOST_KEPT` the oldest go, and the learner sees by
their numbers that they are missing.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from whisperer.feedback.outcome import Reward

MOST_KEPT = 200_000
"""About 1 KB each."""


class RewardLog:
    def __init__(self, first: int = 0, rewards: list[Reward] | None = None) -> None:
        self._rewards: deque[Reward] = deque(rewards or ())
        self._first = first

    def __len__(self) -> int:
        return len(self._rewards)

    @property
    def first(self) -> int:
        """Number of the oldest reward kept."""
        return self._first

    @property
    def next(self) -> int:
        """Number of the next one."""
        return self._first + len(self._rewards)

    def append(self, reward: Reward) -> None:
        assert reward.number == self.next
        self._rewards.append(reward)
        if len(self._rewards) > MOST_KEPT:
            self._rewards.popleft()
            self._first += 1

    def since(self, number: int, limit: int) -> list[Reward]:
        """Up to ``limit`` rewards from a number on, in order."""
        start = max(0, number - self._first)
        return list(islice(self._rewards, start, start + limit))

    def forget(self, before: int) -> None:
        """The learner has stored these."""
        while self._rewards and self._first < before:
            self._rewards.popleft()
            self._first += 1

    def all(self) -> list[Reward]:
        return list(self._rewards)
