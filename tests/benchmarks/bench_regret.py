"""Regret of the policy beside VW SquareCB, MABWiser LinTS, uniform and the best single arm, on the same streams.

    python -m tests.benchmarks.bench_regret [--decisions 20000] [--seeds 5] [--png FILE] [--json FILE]

The stream is `tests/statistical/effects_stream.py`: the simulator's effects with hidden tastes and drift over 28 days,
batches of 200, an early look at the reward one batch later and the final one four batches later. Everyone's luck is drawn
before anyone decides. Regret is expected reward given away against the best arm for each user and moment, hidden tastes
included, so that nobody reaches zero. `best single arm` knows from the start which arm is best on average.

Ours is the product's own path (candidates, choices, ledger, posteriors). The baselines get the same vectors and learn
from final rewards, as they cannot take one back: VW with interactions of context and arm; LinTS at several widths, the
one of least regret counts. All have their libraries' other defaults.

Two rounds: with the product's floor of 2 % an arm kept by everyone (logs without one cannot evaluate another policy),
and without. The picture shows both.
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

from tests.benchmarks import report
from tests.statistical.effects_stream import ARMS, Ours, Player, Rows, Stream, draw, play, regret
from whisperer.decisions.context import transform
from whisperer.decisions.decision import UNIFORM
from whisperer.decisions.thompson import FLOOR, mixed
from whisperer.evaluation.quantiles import student_t

DAYS = 28.0
WIDTHS = (1.0, 0.3, 0.1)
N_POINTS = 200


class SquareCB:
    """Vowpal Wabbit over action-dependent features; a floor is mixed into its probabilities."""

    def __init__(self, stream: Stream, seed: int, floor: float) -> None:
        import vowpalwabbit as vw

        self._stream, self._floor = stream, floor
        self._workspace = vw.Workspace(f"--cb_explore_adf --squarecb -q ua --quiet --random_seed {seed}")
        self._rng = np.random.default_rng([seed, 2])
        x = transform(stream.features)
        self._shared = ["shared |u " + " ".join(f"f{at}:{v:.4f}" for at, v in enumerate(row[1:])) for row in x]
        self._taken: dict[int, tuple[int, float]] = {}

    def decide(self, rows: Rows) -> Rows:
        chosen = []
        for row in rows.tolist():
            p = np.array(self._workspace.predict([self._shared[row], *(f"|a {arm}" for arm in ARMS)]))
            p = mixed(p[None] / p.sum(), self._floor)[0]
            arm = int(self._rng.choice(len(ARMS), p=p / p.sum()))
            self._taken[row] = (arm, float(p[arm]))
            chosen.append(arm)
        return np.array(chosen)

    def learn(self, early: Rows, final: Rows) -> None:
        for row in final.tolist():
            taken, p = self._taken.pop(row)
            label = f"0:{-self._stream.earned[row, taken]:.4f}:{p:.4f} "
            lines = [("" if arm != taken else label) + f"|a {name}" for arm, name in enumerate(ARMS)]
            self._workspace.learn([self._shared[row], *lines])


class LinTS:
    """MABWiser; chosen by chance until the first rewards are there, and as often later as the floor asks."""

    def __init__(self, stream: Stream, seed: int, floor: float, width: float) -> None:
        from mabwiser.mab import MAB, LearningPolicy

        self._stream, self._by_chance = stream, floor * len(ARMS)
        self._x = transform(stream.features)
        self._mab = MAB(list(range(len(ARMS))), LearningPolicy.LinTS(alpha=width), seed=seed)
        self._rng = np.random.default_rng([seed, 3])
        self._taken = np.zeros(len(stream), np.int64)
        self._fitted = False

    def decide(self, rows: Rows) -> Rows:
        taken = self._rng.integers(0, len(ARMS), len(rows))
        if self._fitted:
            learned = self._rng.random(len(rows)) >= self._by_chance
            taken[learned] = np.array(self._mab.predict(self._x[rows]))[learned]
        self._taken[rows] = taken
        return taken

    def learn(self, early: Rows, final: Rows) -> None:
        if len(final):
            taken = self._taken[final]
            fit = self._mab.partial_fit if self._fitted else self._mab.fit
            fit(taken, self._stream.earned[final, taken], self._x[final])
            self._fitted = True


def players(stream: Stream, seed: int, floor: float) -> dict[str, Player]:
    return {
        "ours": Ours(stream, seed, floor=floor),
        "uniform": Ours(stream, seed, group=UNIFORM),
        "vw squarecb": SquareCB(stream, seed, floor),
        **{f"lints {width}": LinTS(stream, seed, floor, width) for width in WIDTHS},
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
    widths = {name: by_name.pop(name) for name in list(by_name) if name.startswith("lints")}
    best = min(widths, key=lambda name: float(widths[name][:, -1].mean()))
    by_name["mabwiser lints"] = widths[best]
    setting = {
        "lints_width": float(best.split()[1]),
        "seconds_a_run": {name: round(float(np.mean(taken)), 2) for name, taken in spent.items()},
    }
    return by_name, setting


def paint(path: Path, rounds: dict[float, dict[str, NDArray[np.float64]]]) -> None:
    """A line a player, mean over seeds, with the range of the seeds; one panel a floor."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, len(rounds), figsize=(13, 5.5), layout="constrained", sharey=True)
    for axes, (floor, by_name) in zip(panels, rounds.items(), strict=True):
        for place, (name, runs) in enumerate(sorted(by_name.items())):
            at = np.unique(np.linspace(0, runs.shape[1] - 1, N_POINTS).astype(int))
            colour, width = f"C{place}", 3.0 if name == "ours" else 1.5
            axes.plot(at, runs[:, at].mean(axis=0), label=name, color=colour, linewidth=width)
            axes.fill_between(at, runs[:, at].min(axis=0), runs[:, at].max(axis=0), color=colour, alpha=0.15)
        title = f"everyone keeps a floor of {floor:.0%} an arm" if floor else "no floor"
        axes.set(xlabel="decisions", title=title)
        axes.grid(alpha=0.3)
    panels[0].set(ylabel="cumulative regret, conversions")
    panels[0].legend()
    figure.suptitle("Regret on the simulator's effects: hidden tastes, drift, late and replaced rewards")
    figure.savefig(path, dpi=130)
    plt.close(figure)


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
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--png", type=Path, help="draw the curves here")
    options = parser.parse_args()
    warnings.simplefilter("ignore")  # the baselines' own, of their libraries
    rounds, figures, settings = {}, {}, {}
    for floor in (FLOOR, 0.0):
        rounds[floor], settings[f"floor {floor}"] = compete(options.decisions, options.seeds, floor)
        figures[f"floor {floor}"] = summary(rounds[floor], options.decisions)
    if options.png:
        paint(options.png, rounds)
    report.publish(
        "regret", figures, options.json, decisions=options.decisions, seeds=options.seeds, days=DAYS, **settings
    )


if __name__ == "__main__":
    main()
