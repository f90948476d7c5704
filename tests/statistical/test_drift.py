"""Drift on the simulator's stream, through the ledger: silent while the world stays, heard when it turns."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.statistical.effects_stream import Ours, Stream, draw, play
from whisperer.decisions.drift import DriftWatch

N, DAYS = 8_000, 28.0
TURN = 5_000


class Watching(Ours):
    """Ours, with the learner's look at what becomes final."""

    def __init__(self, stream: Stream, seed: int) -> None:
        super().__init__(stream, seed)
        self.watch = DriftWatch()
        self.heard_after = -1
        apply = self.ledger.apply
        self.ledger.apply = lambda shard, rewards: apply(shard, rewards, self._look)  # type: ignore[method-assign]

    def _look(self, campaign: tuple[str, str], arm: str, x: np.ndarray, reward: np.ndarray, day: int) -> None:
        policy = self._policies.get(campaign)
        if policy is not None and arm in policy.arms:
            expected = x @ policy.mean[policy.arms.index(arm)]
            found = self.watch.see(arm, x, expected, reward, day, self.ledger.statistics[campaign].arm(arm).n)
            if found and self.heard_after < 0:
                self.heard_after = len(self.choices)


def still(seed: int) -> Stream:
    """A stream without drift: everybody as on one day."""
    return replace(draw(seed, N, 1e-6), day=np.arange(N) * DAYS / N)


@pytest.mark.parametrize("seed", [1, 2])
def test_a_world_that_stays_raises_no_alarm(seed: int) -> None:
    stream = still(seed)
    player = Watching(stream, seed)
    play(stream, player)
    assert player.watch.alarms == {}


def test_a_world_that_turns_is_heard_within_its_next_1500_decisions() -> None:
    """From one moment on, everything earns the opposite."""
    stream = still(3)
    swap = np.arange(N)[:, None] >= TURN
    turned = replace(
        stream,
        value=np.where(swap, 0.3 - stream.value, stream.value),
        earned=np.where(swap, 0.3 - stream.earned, stream.earned),
        early=np.where(swap, 0.3 - stream.early, stream.early),
    )
    player = Watching(turned, 3)
    play(turned, player)
    assert player.watch.alarms["residuals"] >= 1
    assert TURN < player.heard_after <= TURN + 1_500
