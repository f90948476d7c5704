"""Rewards learned from a second on one core: the product's ledger beside Vowpal Wabbit and MABWiser, on the same rows.

`ours_learn` takes up final rewards as the learner does, in pulls of 5,000: offsets, checks, statistics, the watch for
drift, and the posterior after each pull. `ours_learn_early_and_final` counts rewards of decisions that come twice, the
second replacing the first. `vw_learn` has its lines made before; `mabwiser_learn` fits LinTS on the same vectors in the
same batches.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import msgspec
import numpy as np

from tests.benchmarks.bandits import MabWiser
from whisperer.decisions.context import SCORE, transform
from whisperer.decisions.drift import DriftWatch
from whisperer.decisions.posterior import posterior
from whisperer.feedback.ledger import Ledger
from whisperer.feedback.outcome import Reward
from whisperer.vocabulary.groups import Group
from whisperer.vocabulary.units import DAY_MS

N = 20_000
PULL = 5_000
N_VW = 5_000
_TENANT, _CAMPAIGN = "tenant", "c0"


def rewards_of(raw: np.ndarray, arms: list[str], *, twice: bool = False) -> list[tuple[str, Reward]]:
    """Final rewards of as many decisions as ``raw`` has rows; ``twice``: half as many, each early before."""
    taken = np.random.default_rng(3).integers(0, len(arms), len(raw)).tolist()
    made = []
    for at, (row, arm) in enumerate(zip(raw.tolist(), taken, strict=True)):
        decision, mature = (at // 2, at % 2 == 1) if twice else (at, True)
        made.append(
            Reward(
                at, f"dec_{decision:026d}", _CAMPAIGN, 1, Group.POLICY, arms, arms[arm], 0.2, row, 10_000 * (at % 100),
                at % 2, mature, 20_000 * DAY_MS,
            )
        )  # fmt: skip
    if twice:  # both of a decision are about the same user and arm
        made = [msgspec.structs.replace(made[at], features=made[at // 2 * 2].features, arm=made[at // 2 * 2].arm)
                for at in range(len(made))]  # fmt: skip
    return [(_TENANT, one) for one in made]


def product(rewards: list[tuple[str, Reward]]) -> None:
    """What :class:`actors.learner.actor.Learning` does with them, but for calls and storing."""
    ledger, watch, policies = Ledger(), DriftWatch(), {}

    def look(campaign: tuple[str, str], arm: str, x: np.ndarray, reward: np.ndarray, day: int) -> None:
        policy = policies.get(campaign)
        if policy is not None and arm in policy.arms:
            expected = x @ policy.mean[policy.arms.index(arm)]
            watch.see(arm, x, expected, reward, day, ledger.statistics[campaign].arm(arm).n)

    for at in range(0, len(rewards), PULL):
        for campaign in ledger.apply(0, rewards[at : at + PULL], look):
            policies[campaign] = posterior(ledger.statistics[campaign], at)


def measure(raw: np.ndarray, arms: list[str], rounds: int = 3) -> dict[str, int]:
    """Updates a second by name, the median of rounds taken by turns; the first round warms up."""
    import vowpalwabbit as vw

    raw = np.resize(raw, (N, raw.shape[1]))
    x = np.delete(transform(raw), SCORE, axis=1)
    once, twice = rewards_of(raw, arms), rewards_of(raw, arms, twice=True)
    taken = np.array([arms.index(reward.arm) for _, reward in once])
    earned = np.array([reward.reward_micros / 1e6 for _, reward in once])
    workspace = vw.Workspace("--cb_explore_adf --squarecb -q ua --quiet")
    lines = [_vw_lines(x[at], arms, int(taken[at]), float(earned[at])) for at in range(N_VW)]

    def wiser() -> None:
        bandit = MabWiser("LinTS", 1.0, len(arms), 0.02, 1)
        for at in range(0, N, PULL):
            here = slice(at, at + PULL)
            bandit.learn(x[here], taken[here], earned[here], earned[here])

    ways: dict[str, tuple[Callable[[], object], int]] = {
        "ours_learn": (lambda: product(once), N),
        "ours_learn_early_and_final": (lambda: product(twice), N),
        "vw_learn": (lambda: [workspace.learn(row) for row in lines], N_VW),
        "mabwiser_learn": (wiser, N),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    with _without_warnings():
        for _ in range(rounds + 1):
            for name, (way, n) in ways.items():
                begun = time.perf_counter()
                way()
                seconds[name].append((time.perf_counter() - begun) / n)
    workspace.finish()
    return {f"{name}_per_s": round(1 / float(np.median(taken_s[1:]))) for name, taken_s in seconds.items()}


def _vw_lines(x: np.ndarray, arms: list[str], arm: int, reward: float) -> list[str]:
    shared = "shared |u " + " ".join(f"f{at}:{value:.4f}" for at, value in enumerate(x[1:]))
    return [shared, *(f"0:{-reward:.4f}:0.2 |a {name}" if at == arm else f"|a {name}" for at, name in enumerate(arms))]


@contextmanager
def _without_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries
        yield
