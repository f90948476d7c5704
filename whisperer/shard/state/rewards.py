"""Keep the rewards that the learner has not stored yet, numbered without gaps, for it to pull by offset.

A learner that stays away must not fill the shard's memory: beyond `MOST_KEPT` the oldest are dropped, and the learner
can see from the numbers that they are missing.
"""

from __future__ import annotations

from collections import deque
from itertools import islice

from whisperer.feedback.outcome import Reward

MOST_KEPT = 200_000
"""About 1 KB each."""


class RewardLog:
    """Hold one tenant's rewards in one shard, from number ``first`` on."""

    def __init__(self, first: int = 0, rewards: list[Reward] | None = None) -> None:
        self._rewards: deque[Reward] = deque(rewards or ())
        self._first = first

    def __len__(self) -> int:
        return len(self._rewards)

    @property
    def first(self) -> int:
        """Return the number of the oldest reward kept."""
        return self._first

    @property
    def next(self) -> int:
        """Return the number that the next reward gets."""
        return self._first + len(self._rewards)

    def append(self, reward: Reward) -> None:
        """Add a reward, whose number must be :attr:`next`; beyond `MOST_KEPT` the oldest one is dropped."""
        assert reward.number == self.next
        self._rewards.append(reward)
        if len(self._rewards) > MOST_KEPT:
            self._rewards.popleft()
            self._first += 1

    def since(self, number: int, limit: int) -> list[Reward]:
        """Return up to ``limit`` rewards from ``number`` on, in order."""
        start = max(0, number - self._first)
        return list(islice(self._rewards, start, start + limit))

    def forget(self, before: int) -> None:
        """Forget rewards below the number ``before``: the learner has stored them."""
        while self._rewards and self._first < before:
            self._rewards.popleft()
            self._first += 1

    def all(self) -> list[Reward]:
        return list(self._rewards)
