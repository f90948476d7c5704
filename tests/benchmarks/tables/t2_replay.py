"""T2 (b): Hillstrom's e-mail test replayed online. Reward is a visit; arms are no e-mail, Mens and Womens.

The file is a uniformly random log: a policy decides every row, in the order of ``RandomState(seed).permutation``; only
where it chose what was sent, the row counts and is learned from (Li, Chu, Langford & Wang, WSDM 2011). Everybody keeps
a floor of 1 % an arm. A learner is told after every `BATCH` rows, each alike. The mean of rewards over matched rows is
what is compared, ours less each other one, paired by seed, with a 95 % interval (t over seeds). Seeds share the rows, so
the interval speaks of orders and draws, not of other customers.

Ours is the product's statistics, posterior and draws (:mod:`whisperer.decisions`) with a context of this file's columns
and the product's own constants: nothing is chosen on these rows.
"""

from __future__ import annotations

import gzip
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv

from tests.benchmarks.bandits import Bandit, BetaThompson, Floats, MabWiser, Rows, VowpalWabbit
from whisperer.decisions.decision import seed_of
from whisperer.decisions.linear import CampaignStatistics
from whisperer.decisions.posterior import posterior, prior
from whisperer.decisions.thompson import mixed, propensities, sampled
from whisperer.evaluation.quantiles import student_t

ARMS = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
MENS = 1
BATCH = 100
FLOOR = 0.01
WIDTHS = (1.0, 0.1)


class Ours:
    def __init__(self, width: int, floor: float, seed: int) -> None:
        self._statistics, self._policy = CampaignStatistics(1.0, width=width), prior(width)
        self._floor, self._seed, self._n = floor, seed, 0

    def decide(self, x: Floats) -> tuple[Rows, Floats]:
        seeds = np.array([seed_of(f"{self._seed}-{self._n + at}") for at in range(len(x))], np.uint64)
        self._n += len(x)
        p = propensities(*self._policy.score(x, self._policy.rows(ARMS)), seeds, self._floor)
        taken = sampled(p, seeds)
        return taken, p[np.arange(len(x)), taken]

    def learn(self, x: Floats, taken: Rows, p: Floats, reward: Floats) -> None:
        for at, arm in enumerate(ARMS):
            here = taken == at
            if here.any():
                self._statistics.arm(arm).add(x[here], reward[here], np.ones(int(here.sum())))
        self._policy = posterior(self._statistics, 0)


class Always:
    """Shares by arm that never change: always one arm but for the floor, or every arm alike."""

    def __init__(self, shares: list[float], floor: float, seed: int) -> None:
        self._p = mixed(np.array([shares]), floor)[0]
        self._rng = np.random.default_rng([seed, 5])

    def decide(self, x: Floats) -> tuple[Rows, Floats]:
        taken = self._rng.choice(len(self._p), len(x), p=self._p)
        return taken, self._p[taken]

    def learn(self, x: Floats, taken: Rows, p: Floats, reward: Floats) -> None:
        pass


def read(data: Path) -> tuple[Floats, Rows, Floats]:
    """Context (n, width) with a one in front and no model's score behind it, arm sent (n,), visit (n,)."""
    with gzip.open(data / "hillstrom" / "hillstrom.csv.gz") as file:
        table = pyarrow.csv.read_csv(file)
    column = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    n = len(table)
    x = [
        np.ones(n),
        np.zeros(n),
        (column["recency"] - 6.0) / 3.5,
        np.log(column["history"]) - 5.0,
        *(column[name] - 0.5 for name in ("mens", "womens", "newbie")),
        *(column["zip_code"] == zone for zone in ("Urban", "Rural")),
        *(column["channel"] == channel for channel in ("Web", "Phone")),
        column["mens"] * column["womens"],
    ]
    sent = np.array([ARMS.index(segment) for segment in column["segment"]])
    return np.stack(x, axis=1).astype(np.float64), sent, column["visit"].astype(np.float64)


def replay(bandit: Bandit, x: Floats, sent: Rows, visit: Floats, order: Rows) -> tuple[float, Floats]:
    """Mean reward over matched rows, and the running sum of (matches, reward) after each batch, shape (2, n_batches)."""
    curve = []
    matches = total = 0.0
    for at in range(0, len(order), BATCH):
        rows = order[at : at + BATCH]
        taken, p = bandit.decide(x[rows])
        same = taken == sent[rows]
        matched = rows[same]
        bandit.learn(x[matched], taken[same], p[same], visit[matched])
        matches, total = matches + len(matched), total + float(visit[matched].sum())
        curve.append((matches, total))
    return total / matches, np.array(curve).T


def players(x: Floats) -> dict[str, Callable[[int], Bandit]]:
    """By name, made of a seed. The baselines get the same columns but for the empty one."""
    n = len(ARMS)
    return {
        "ours": lambda seed: Ours(x.shape[1], FLOOR, seed),
        "vw squarecb": lambda seed: VowpalWabbit("--squarecb", n, FLOOR, seed),
        "vw regcb": lambda seed: VowpalWabbit("--regcb", n, FLOOR, seed),
        "vw regcbopt": lambda seed: VowpalWabbit("--regcbopt", n, FLOOR, seed),
        "beta-ts without context": lambda seed: BetaThompson(n, FLOOR, seed),
        **{f"mabwiser lints {w}": lambda seed, w=w: MabWiser("LinTS", w, n, FLOOR, seed) for w in WIDTHS},
        **{f"mabwiser linucb {w}": lambda seed, w=w: MabWiser("LinUCB", w, n, FLOOR, seed) for w in WIDTHS},
        "always mens": lambda seed: Always([float(at == MENS) for at in range(n)], FLOOR, seed),
        "random": lambda seed: Always([1 / n] * n, 0.0, seed),
    }


def run(data: Path, seeds: int = 20, first_seed: int = 0, only: str = "") -> dict[str, Any]:
    """The table. ``only``: names, separated by commas; everybody by default.

    Raises FileNotFoundError where ``data`` has no ``hillstrom/hillstrom.csv.gz``.
    """
    warnings.simplefilter("ignore")  # the baselines' own, of their libraries
    x, sent, visit = read(data)
    asked = {name: make for name, make in players(x).items() if not only or name in only.split(",")}
    means: dict[str, list[float]] = {name: [] for name in asked}
    seconds, halves = dict.fromkeys(asked, 0.0), {name: np.zeros((2, 2)) for name in asked}
    for seed in range(first_seed, first_seed + seeds):
        order = np.random.RandomState(seed).permutation(len(x))
        for name, make in asked.items():
            begun = time.perf_counter()
            context = x if name == "ours" else np.delete(x, 1, axis=1)
            mean, curve = replay(make(seed), context, sent, visit, order)
            seconds[name] += (time.perf_counter() - begun) / seeds
            means[name].append(mean)
            middle = curve[:, curve.shape[1] // 2]
            halves[name] += np.stack([middle, curve[:, -1] - middle])
    return {
        "table": "T2b",
        "metric": "visits a matched row",
        "rows": len(x),
        "seeds": seeds,
        "floor": FLOOR,
        "batch": BATCH,
        "players": {name: _line(name, means, halves[name], seconds[name]) for name in asked},
    }


def _line(name: str, means: dict[str, list[float]], halves: Floats, seconds: float) -> dict[str, Any]:
    own = np.array(means[name])
    line: dict[str, Any] = {
        "value": round(float(own.mean()), 5),
        "first_half": round(float(halves[0, 1] / halves[0, 0]), 5),
        "second_half": round(float(halves[1, 1] / halves[1, 0]), 5),
        "seconds_a_run": round(seconds, 2),
    }
    if name != "ours" and "ours" in means and len(own) > 1:
        gap = np.array(means["ours"]) - own
        half = student_t(0.975, len(gap) - 1) * gap.std(ddof=1) / np.sqrt(len(gap))
        line["ours_above_by"] = round(float(gap.mean()), 5)
        line["interval"] = [round(float(gap.mean() - half), 5), round(float(gap.mean() + half), 5)]
    return line
