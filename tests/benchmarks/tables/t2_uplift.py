"""T2a, Hillstrom: whom the women's e-mail brings to the shop, by scikit-uplift's Qini on the half not learned from.

Women's e-mail against none on visit, 64,000 customers less the men's arm, ten 50/50 splits stratified by arm and visit.
Ours is the related logits of `training.uplift` on coarse features with hinges, beside the baselines' logits and trees on
the same features without. It was chosen among a dozen by cross-validation within training halves (docs/uplift.md has
the list), and its two penalties are the learner's own. The splits are of the same customers, so that intervals of the mean difference are by a bootstrap of customers over all splits at
once, not by the ten figures alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.screen import say
from training.uplift.bases import Boosted, Logit, Ridge
from training.uplift.learners import Learner, Related, S, T, X
from training.uplift.trial import Trial

SEEDS = tuple(range(10))
MARK = 0.003
N_RESAMPLES = 500
CURVE = (0.125, 0.25, 0.5, 1.0)

Array = NDArray[np.float64]
Score = Callable[[Array], Array]
Fit = Callable[[Trial], Score]

PLAIN = 10
"""The first columns are what the file has; hinges of recency and spending follow, which ours and nobody else uses."""


def read(folder: Path) -> Trial:
    """Arm 1 is the women's e-mail."""
    rows = duckdb.sql(f"from read_csv('{folder / 'hillstrom.csv.gz'}') where segment <> 'Mens E-Mail'").fetchnumpy()
    recency, history = rows["recency"].astype(np.float64), rows["history"].astype(np.float64)
    plain = {
        "recency": recency,
        "log_history": np.log(history),
        "history": history,
        **{name: rows[name].astype(np.float64) for name in ("mens", "womens", "newbie")},
        **{zone: (rows["zip_code"] == zone).astype(np.float64) for zone in ("Urban", "Rural")},
        **{channel: (rows["channel"] == channel).astype(np.float64) for channel in ("Web", "Multichannel")},
    }
    hinges = {f"recency>{k}": np.maximum(recency - k, 0) for k in (3, 6)}
    hinges |= {f"log_history>{k}": np.maximum(np.log(history) - k, 0) for k in (5.5, 6.5)}
    columns = plain | hinges
    action = (rows["segment"] == "Womens E-Mail").astype(np.int64)
    x = np.column_stack(list(columns.values()))
    return Trial(x, action, rows["visit"].astype(np.float64), np.array([0.5, 0.5]), names=tuple(columns))


def ours(trial: Trial) -> Score:
    related = Related().fit(trial)
    return lambda x: related.effects(x)[:, 1]


def _plain(learner: Learner) -> Fit:
    def fit(trial: Trial) -> Score:
        alone = Trial(trial.x[:, :PLAIN], trial.action, trial.reward, trial.propensity)
        fitted = learner.fit(alone)
        return lambda x: fitted.effects(x[:, :PLAIN])[:, 1]

    return fit


def response(trial: Trial) -> Score:
    """Who visits, not whom the e-mail moves: a logit on those who got it."""
    reached = trial.action == 1
    fitted = Logit(1.0).fit(trial.x[reached, :PLAIN], trial.reward[reached])
    return lambda x: fitted.predict(x[:, :PLAIN])


POLICIES: Mapping[str, Fit] = {
    "ours": ours,
    "t_logit": _plain(T(Logit(1.0))),
    "x": _plain(X(Logit(1.0), Ridge(1.0))),
    "s_xgb": _plain(S(Boosted("binary:logistic"))),
    "t_xgb": _plain(T(Boosted("binary:logistic"))),
    "response": response,
}


def run(data: Path, *, curve: bool = True, n_seeds: int = len(SEEDS), **_: Any) -> dict[str, Any]:
    """Mean Qini of each, and ours less each other's.

    Parameters
    ----------
    data : folder that holds `hillstrom`
    curve : draw the learning curve too
    n_seeds : splits, fewer for a quick look
    """
    trial = read(data / "hillstrom")
    qini: dict[str, list[float]] = {name: [] for name in POLICIES}
    scored: list[tuple[NDArray[np.int64], dict[str, Array]]] = []
    for seed in SEEDS[:n_seeds]:
        say(f"T2a: split {seed}")
        train, test = _split(trial, seed)
        found = {name: fit(trial.at(train))(trial.x[test]) for name, fit in POLICIES.items()}
        scored.append((test, found))
        for name, score in found.items():
            qini[name].append(_qini(trial, test, score))
    means = {name: float(np.mean(each)) for name, each in qini.items()}
    others = [name for name in means if name != "ours"]
    best = max(others, key=lambda name: means[name])
    say("T2a: intervals")
    drawn = _resampled(trial, scored)
    over = {}
    for name in others:
        low, high = np.quantile(drawn["ours"] - drawn[name], [0.025, 0.975]).tolist()
        over[name] = {"value": means["ours"] - means[name], "low": low, "high": high}
    result: dict[str, Any] = {
        "table": "T2a",
        "rows": len(trial),
        "unit": "Qini coefficient (scikit-uplift), mean of the splits",
        "values": means,
        "by_split": qini,
        "best_baseline": best,
        "ours_over": over,
        "marks": {"over_best_baseline": MARK},
        "met": over[best]["value"] >= MARK and over[best]["low"] > 0,
    }
    if curve:
        result["learning_curve"] = [_learned_from(share, trial) for share in CURVE]
    return result


def sentences(result: dict[str, Any]) -> Iterable[str]:
    """The table for people."""
    for name, found in sorted(result["values"].items(), key=lambda item: -item[1]):
        over = result["ours_over"].get(name)
        beside = f"   ours {over['value']:+.4f} [{over['low']:+.4f}, {over['high']:+.4f}]" if over else ""
        yield f"  {name:12s} {found:.4f}{beside}"


def _split(trial: Trial, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    from sklearn.model_selection import train_test_split

    strata = 2 * trial.action + trial.reward
    train, test = train_test_split(np.arange(len(trial)), test_size=0.5, stratify=strata, random_state=seed)
    return train, test


def _qini(trial: Trial, rows: NDArray[np.int64], score: Array) -> float:
    from sklift.metrics import qini_auc_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # scikit-uplift asks scikit-learn for what will leave it
        return float(qini_auc_score(trial.reward[rows], score, trial.action[rows]))


class Curve:
    """The Qini curve's area by how often each row counts: scikit-uplift's, where each counts once, and much faster."""

    def __init__(self, score: Array, reward: Array, action: NDArray[np.int64]) -> None:
        self._order = np.argsort(-score, kind="stable")
        ordered = score[self._order]
        self._ends = np.r_[np.flatnonzero(np.diff(ordered)), len(score) - 1]
        treated = action[self._order] == 1
        bought = reward[self._order]
        self._columns = np.stack([np.ones(len(score)), treated, treated * bought, ~treated * bought])

    def area(self, times: Array) -> float:
        """Above the diagonal; ``times``: shape (n,)."""
        n, treated, gained, kept = np.cumsum(self._columns * times[self._order], axis=1)[:, self._ends]
        others = n - treated
        curve = np.r_[0.0, gained - kept * np.divide(treated, others, out=np.zeros_like(n), where=others > 0)]
        x = np.r_[0.0, n]
        return float(np.trapezoid(curve, x) - x[-1] * curve[-1] / 2)


def _resampled(trial: Trial, scored: list[tuple[NDArray[np.int64], dict[str, Array]]]) -> dict[str, Array]:
    """Mean Qini over the splits, on resamples of customers; a customer drawn twice is so in every split."""
    curves = []
    for test, found in scored:
        reward, action = trial.reward[test], trial.action[test]
        ideal = Curve(reward * np.where(action == 1, 1.0, -1.0), reward, action)
        each = {name: Curve(score, reward, action) for name, score in found.items()}
        once = np.ones(len(test))
        for name, score in found.items():
            again = each[name].area(once) / ideal.area(once)
            assert abs(again - _qini(trial, test, score)) < 1e-9, f"{name}: {again} is not scikit-uplift's figure"
        curves.append((test, ideal, each))
    rng = np.random.default_rng(0)
    drawn = {name: np.zeros(N_RESAMPLES) for name in POLICIES}
    for at in range(N_RESAMPLES):
        times = np.bincount(rng.integers(0, len(trial), len(trial)), minlength=len(trial)).astype(np.float64)
        for test, ideal, each in curves:
            most = ideal.area(times[test])
            for name, curve in each.items():
                drawn[name][at] += curve.area(times[test]) / most / len(curves)
    return drawn


def _learned_from(share: float, trial: Trial, n_splits: int = 3) -> dict[str, float]:
    found: dict[str, list[float]] = {"ours": [], "t_logit": []}
    size = 0
    for seed in range(n_splits):
        train, test = _split(trial, seed)
        part = trial.at(np.random.default_rng(seed).permutation(train)[: int(share * len(train))])
        size = len(part)
        for name, each in found.items():
            each.append(_qini(trial, test, POLICIES[name](part)(trial.x[test])))
    return {"decisions": size, **{name: float(np.mean(each)) for name, each in found.items()}}
