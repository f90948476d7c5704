"""T4, the Starbucks A/B file: whom to send a promotion that costs 0.15 and may sell something for 10.

Five folds over the training file; in each the model and the threshold are chosen inside the training part, and the rest
is judged by the net incremental revenue of those who would be sent it, NIR = 10 x bought - 0.15 x sent among the treated
less 10 x bought among the untreated. Arms were drawn evenly, so each row's term is paired between policies; intervals
resample rows. Beside ours: XGBoost T-learner and transformed outcome with XGBoost's own settings, everybody, nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import xgboost as xgb
from numpy.typing import NDArray

from tests.benchmarks.screen import say
from training.uplift.bases import Boosted, Ridge
from training.uplift.learners import DR, Average, Learner, S, T, X
from training.uplift.mix import fit_mix
from training.uplift.trial import Trial
from whisperer.evaluation.bootstrap import compare, intervals
from whisperer.evaluation.estimators import Terms

PRICE, COST = 10.0, 0.15
N_FOLDS = 5
N_INNER = 3
CURVE = (0.25, 0.5, 1.0)

Array = NDArray[np.float64]
Score = Callable[[Array], Array]
Fit = Callable[[Trial], Score]
Scored = tuple[Score, Array]
"""A score, and that of each training row by a fit that has not seen it."""


def read(folder: Path) -> Trial:
    """Arm 1 is the promotion; categories are one column a value, so that lines can use them."""
    yes = "(Promotion::varchar in ('Yes', 'true'))::bigint as treated"  # DuckDB reads Yes and No as booleans
    path = folder / "training.csv.gz"
    rows = duckdb.sql(f"select *, {yes} from read_csv('{path}') order by ID").fetchnumpy()
    columns = {f"V{k}": rows[f"V{k}"].astype(np.float64) for k in (2, 3)}
    for k in (1, 4, 5, 6, 7):
        values = np.unique(rows[f"V{k}"])
        columns |= {
            f"V{k}={v}": (rows[f"V{k}"] == v).astype(np.float64) for v in values[: 1 if len(values) == 2 else None]
        }
    action = rows["treated"].astype(np.int64)
    x = np.column_stack(list(columns.values()))
    return Trial(x, action, rows["purchase"].astype(np.float64), np.array([0.5, 0.5]), names=tuple(columns))


def run(data: Path, *, curve: bool = True, n_folds: int = N_FOLDS, **_: Any) -> dict[str, Any]:
    """NIR of each policy over all held-out rows, and ours less each other's.

    Parameters
    ----------
    data : folder that holds `starbucks_ab`
    curve : draw the learning curve too
    """
    trial = read(data / "starbucks_ab")
    earned = {name: np.empty(len(trial)) for name in (*POLICIES, "everybody", "nobody")}
    for k in range(n_folds):
        say(f"T4: fold {k + 1} of {n_folds}")
        held = trial.folds(n_folds) == k
        for name, fit in POLICIES.items():
            earned[name][held] = _earned(fit, trial.at(~held), trial.at(held))
    earned["everybody"], earned["nobody"] = worth(trial), np.zeros(len(trial))
    n = len(trial)
    terms = {name: Terms(part * n, np.ones(n)) for name, part in earned.items()}
    values = {
        name: asdict(found) for name, found in zip(terms, intervals(list(terms.values()), np.arange(n)), strict=True)
    }
    others = [name for name in terms if name != "ours"]
    over = {name: asdict(compare(terms["ours"], terms[name], np.arange(n)).difference) for name in others}
    rivals = ("t_xgb", "transformed_outcome")
    result: dict[str, Any] = {
        "table": "T4",
        "rows": n,
        "unit": "NIR of the held-out rows of all folds, about half of them treated",
        "values": values,
        "best_baseline": max(others, key=lambda name: values[name]["value"]),
        "ours_over": over,
        "met": {name: over[name]["low"] > 0 for name in rivals},
    }
    if curve:
        held = trial.folds(n_folds) == 0
        result["learning_curve"] = [_learned_from(share, trial, held) for share in CURVE]
    return result


def worth(trial: Trial) -> Array:
    """What each row adds to the NIR of a policy that sends it the promotion, shape (n,)."""
    return np.where(trial.action == 1, PRICE * trial.reward - COST, -PRICE * trial.reward)


def threshold(score: Array, trial: Trial) -> float:
    """The score above which sending earned most on these rows, which ``score`` must not have been fitted to."""
    order = np.argsort(-score, kind="stable")
    total = np.cumsum(worth(trial)[order])
    best = int(total.argmax())
    if total[best] <= 0:
        return np.inf
    # Half way to the next, that the last one is still in.
    return float((score[order[best]] + score[order[min(best + 1, len(order) - 1)]]) / 2)


def learners() -> dict[str, Learner]:
    """Few rows buy: what cannot be told apart is averaged."""
    trees = Boosted("binary:logistic", depth=2, rounds=100, fewest=5.0)
    effect = Boosted(depth=2, rounds=60, fewest=200.0)
    return {
        "s": S(trees),
        "t": T(trees),
        "x": X(Ridge(), effect),
        "dr": DR(Ridge(), effect),
        "ridge": T(Ridge()),
        "levels": Average(Ridge()),
    }


def ours(trial: Trial) -> Scored:
    mix, report = fit_mix(trial, learners())
    return lambda x: mix.effects(x)[:, 1], report.out_of_fold[:, 1]


def plain(fit: Fit) -> Callable[[Trial], Scored]:
    """A baseline, and its scores of the training rows by fits on the other folds."""

    def scored(trial: Trial) -> Scored:
        fold, out = trial.folds(N_INNER, seed=1), np.empty(len(trial))
        for k in range(N_INNER):
            out[fold == k] = fit(trial.at(fold != k))(trial.x[fold == k])
        return fit(trial), out

    return scored


def t_xgb(trial: Trial) -> Score:
    fitted = [
        xgb.XGBClassifier(n_jobs=1, random_state=0).fit(trial.x[trial.action == k], trial.reward[trial.action == k])
        for k in (0, 1)
    ]
    return lambda x: fitted[1].predict_proba(x)[:, 1].astype(np.float64) - fitted[0].predict_proba(x)[:, 1]


def transformed_outcome(trial: Trial) -> Score:
    """Athey & Imbens 2015: reward over the arm's propensity, negative for the untreated."""
    target = trial.reward * np.where(trial.action == 1, 2.0, -2.0)
    fitted = xgb.XGBRegressor(n_jobs=1, random_state=0).fit(trial.x, target)
    return lambda x: fitted.predict(x).astype(np.float64)


POLICIES: Mapping[str, Callable[[Trial], Scored]] = {
    "ours": ours,
    "t_xgb": plain(t_xgb),
    "transformed_outcome": plain(transformed_outcome),
}


def sentences(result: dict[str, Any]) -> Iterable[str]:
    """The table for people."""
    for name, found in sorted(result["values"].items(), key=lambda item: -item[1]["value"]):
        over = result["ours_over"].get(name)
        beside = f"   ours {over['value']:+.1f} [{over['low']:+.1f}, {over['high']:+.1f}]" if over else ""
        yield f"  {name:20s} {found['value']:8.1f} [{found['low']:.1f}, {found['high']:.1f}]{beside}"


def _earned(fit: Callable[[Trial], Scored], train: Trial, test: Trial) -> Array:
    score, out_of_fold = fit(train)
    return np.where(score(test.x) > threshold(out_of_fold, train), worth(test), 0.0)


def _learned_from(share: float, trial: Trial, held: NDArray[np.bool_]) -> dict[str, float]:
    rest = np.flatnonzero(~held)
    part = trial.at(np.random.default_rng(0).permutation(rest)[: int(share * len(rest))])
    test = trial.at(held)
    found = {"decisions": float(len(part))}
    for name, fit in POLICIES.items():
        found[name] = float(_earned(fit, part, test).sum())
    return found
