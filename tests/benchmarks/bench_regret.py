"""Regret of the policy beside Vowpal Wabbit, MABWiser, uniform and the best single arm, on the same streams.

    python -m tests.benchmarks.bench_regret [--decisions 20000] [--seeds 20] [--floors 0.02,0] [--svg FILE] [--json FILE]

The stream is `tests/statistical/effects_stream.py`: the simulator's effects with hidden tastes and drift over 28 days,
batches of 200, an early look at the reward one batch later and the final one four batches later. Everyone's luck is drawn
before anyone decides. Regret is expected reward given away against the best arm for each user and moment, hidden tastes
included, so that nobody reaches zero. `best single arm` knows from the start which arm is best on average.

Ours is the product's own path (candidates, choices, ledger, posteriors). The baselines get the same vectors and learn
from final rewards, as they cannot take one back: SquareCB and RegCB with interactions of context and arm; LinTS and
LinUCB at several widths, the one of least regret counts. All have their libraries' other defaults.

A round a floor: with the product's 2 % an arm kept by everyone (logs without one cannot evaluate another policy), and
without. The picture shows the first one.
"""

from __future__ import annotations

import os

os.environ.update({name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")})

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks import pictures, report
from tests.benchmarks.bandits import Bandit, MabWiser, VowpalWabbit
from tests.statistical.effects_stream import ARMS, Ours, Player, Rows, Stream, draw, play, regret
from whisperer.decisions.context import SCORE, transform
from whisperer.evaluation.quantiles import student_t
from whisperer.vocabulary.groups import Group

DAYS = 28.0
WIDTHS = (1.0, 0.1)
WISER = ("LinTS", "LinUCB")
N_POINTS = 6


class Beside:
    """A library's bandit on the stream: it learns from final rewards, with what it said when it decided."""

    def __init__(self, stream: Stream, bandit: Bandit) -> None:
        self._stream, self._bandit = stream, bandit
        self._x = np.delete(transform(stream.features), SCORE, axis=1)  # there is no value model here
        self._taken, self._p = np.zeros(len(stream), np.int64), np.zeros(len(stream))

    def decide(self, rows: Rows) -> Rows:
        self._taken[rows], self._p[rows] = self._bandit.decide(self._x[rows])
        return self._taken[rows]

    def learn(self, early: Rows, final: Rows) -> None:
        if len(final):
            taken = self._taken[final]
            self._bandit.learn(self._x[final], taken, self._p[final], self._stream.earned[final, taken])


def players(stream: Stream, seed: int, floor: float) -> dict[str, Player]:
    n, bounds = len(ARMS), (-1.0, 1.0)
    bandits: dict[str, Bandit] = {
        "vw squarecb": VowpalWabbit("--squarecb", n, floor, seed, *bounds),
        "vw regcb": VowpalWabbit("--regcb", n, floor, seed, *bounds),
        **{f"{name} {width}": MabWiser(name, width, n, floor, seed) for name in WISER for width in WIDTHS},
    }
    return {
        "ours": Ours(stream, seed, floor=floor),
        "uniform": Ours(stream, seed, group=Group.UNIFORM),
        **{name: Beside(stream, bandit) for name, bandit in bandits.items()},
    }


def curves(seed: int, n: int, floor: float) -> tuple[dict[str, NDArray[np.float64]], dict[str, float]]:
    """Cumulative regret by name, and seconds each took."""
    stream = draw(seed, n, DAYS)
    single = np.full(n, stream.best_single_arm())
    made, seconds = {"best single arm": regret(stream, single)}, {}
    for name, player in players(stream, seed, floor).items():
        begun = time.perf_counter()
        made[name] = regret(stream, play(stream, player))
        seconds[name] = time.perf_counter() - begun
    return made, seconds


def compete(n: int, seeds: int, floor: float) -> tuple[dict[str, NDArray[np.float64]], dict[str, Any]]:
    """Curves of all seeds by name, shape (n_seeds, n), the best width of LinTS only; and what they were drawn with."""
    runs: dict[str, list[NDArray[np.float64]]] = {}
    spent: dict[str, list[float]] = {}
    for seed in range(1, seeds + 1):
        made, seconds = curves(seed, n, floor)
        for name, curve in made.items():
            runs.setdefault(name, []).append(curve)
        for name, taken in seconds.items():
            spent.setdefault(name, []).append(taken)
    by_name = {name: np.stack(all_runs) for name, all_runs in runs.items()}
    chosen = {}
    for policy in WISER:
        widths = {name: by_name.pop(name) for name in list(by_name) if name.startswith(f"{policy} ")}
        chosen[policy] = best = min(widths, key=lambda name: float(widths[name][:, -1].mean()))
        by_name[f"mabwiser {policy.lower()}"] = widths[best]
    setting = {
        "widths": {policy: float(best.split()[1]) for policy, best in chosen.items()},
        "seconds_a_run": {name: round(float(np.mean(taken)), 2) for name, taken in spent.items()},
    }
    return by_name, setting


def paint(path: Path, by_name: dict[str, NDArray[np.float64]], floor: float) -> None:
    """A line a player, mean over seeds."""
    lines = []
    for name, runs in sorted(by_name.items(), key=lambda item: -float(item[1][:, -1].mean())):
        at = np.unique(np.linspace(0, runs.shape[1] - 1, N_POINTS).astype(int))
        lines.append(pictures.Line(name, [(float(x), float(y)) for x, y in zip(at, runs[:, at].mean(axis=0))]))
    panel = pictures.Panel(f"a floor of {floor:.0%} kept by all", "decisions", "cumulative regret, conversions", lines)
    pictures.write(path, [panel], f"simulator: hidden tastes, drift, late rewards; mean of {len(runs)} seeds")


def summary(by_name: dict[str, NDArray[np.float64]], n: int) -> dict[str, Any]:
    """Regret at the end, and ours less each other one, paired by seed with a 95 % interval (t over seeds)."""
    figures: dict[str, Any] = {}
    ours = by_name["ours"][:, -1]
    for name, runs in by_name.items():
        last = runs[:, -1]
        figures[name] = {"regret": round(float(last.mean()), 1), "per_decision": round(float(last.mean() / n), 5)}
        if name != "ours" and len(last) > 1:
            gap = last - ours
            half = student_t(0.975, len(gap) - 1) * gap.std(ddof=1) / np.sqrt(len(gap))
            figures[name]["more_than_ours"] = round(float(gap.mean()), 1)
            figures[name]["interval"] = [round(float(gap.mean() - half), 1), round(float(gap.mean() + half), 1)]
    return figures


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--decisions", type=int, default=20_000)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--floors", default="0.02,0", help="a round for each")
    parser.add_argument("--svg", type=Path, help="draw the first round's curves here")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # the baselines' own, of their libraries
    rounds, figures, settings = {}, {}, {}
    for floor in map(float, options.floors.split(",")):
        rounds[floor], settings[f"floor {floor}"] = compete(options.decisions, options.seeds, floor)
        figures[f"floor {floor}"] = summary(rounds[floor], options.decisions)
    if options.svg:
        floor, by_name = next(iter(rounds.items()))
        paint(options.svg, by_name, floor)
    report.publish(
        "regret", figures, options.json, decisions=options.decisions, seeds=options.seeds, days=DAYS, **settings
    )


if __name__ == "__main__":
    main()
