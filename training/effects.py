"""Take the last steps for uplift: fit the product's mix of learners, with the trees the search found, and value it.

Guarantees: the mix is fitted on the training and held-out rows, and valued on later ones (or other users) by doubly
robust scores whose nuisance is cross-fitted there; the best single arm, with which it is compared, is chosen without
them. The files are those of :mod:`training.uplift.storage`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset import HELD, TEST, TRAIN, UPLIFT, Dataset, at
from training.explaining import shap_values, some_rows
from training.outcome import Attribution, Policy, TrainingOutcome, Valued
from training.task import Task, each_arm, trial_of
from training.uplift import storage
from training.uplift.bases import Boosted, Ridge
from training.uplift.learners import Average, Learner, S, expected, scores
from training.uplift.mix import fit_mix, lines
from training.uplift.trial import Floats, Ints
from whisperer.models.effects import Effects, Mix, Shared
from whisperer.models.regressions import Forest
from whisperer.models.value import DEVIATION

_SHARES = np.linspace(0, 1, 51)


def finish(
    data: Dataset, part: NDArray[np.int8], task: Task, sought: Mapping[str, Any], rounds: int, folder: Path, seed: int
) -> TrainingOutcome:
    """Write ``uplift.json`` and the boosters into ``folder``. Raises TrialError."""
    trees = Boosted(
        task.settings["objective"],
        depth=int(sought["max_depth"]),
        rounds=rounds,
        eta=float(sought["eta"]),
        fewest=float(sought["min_child_weight"]),
        subsample=float(sought["subsample"]),
        seed=seed,
    )
    known = trial_of(at(data, np.flatnonzero((part == TRAIN) | (part == HELD))))
    learners: dict[str, Learner] = {"trees": S(trees), "lines": lines(known), "levels": Average(Ridge())}
    mix, learned = fit_mix(known, learners, seed=seed)
    storage.save(mix, folder)
    rows = trial_of(at(data, np.flatnonzero(part == TEST)))
    assert data.decisions is not None
    assert rows.user is not None
    robust = scores(rows, expected(rows, Ridge(), seed=seed))
    effects = mix.effects(rows.x)
    chosen = learned.caution.choose(effects)
    single = np.full(len(rows), learned.caution.arm)
    policies = {"ours": chosen, "highest effect": effects.argmax(axis=1), "best single arm": single}
    policies |= {"nobody": np.zeros(len(rows), np.int64)}
    valued = tuple(_valued(name, arm, single, robust, rows.user) for name, arm in policies.items())
    policy = Policy(
        data.decisions.arms,
        tuple(np.bincount(chosen, minlength=rows.n_arms).tolist()),
        tuple(np.bincount(rows.action, minlength=rows.n_arms).tolist()),
        valued,
        _SHARES,
        *_qini(effects, robust),
    )
    best, ours = data.decisions.arms[learned.caution.arm], valued[0]
    apart = (chosen != learned.caution.arm).any()
    over_nobody = f"{ours.value - valued[-1].value:+.3g} against leaving everybody alone"
    headline = (
        f"No choice by user was found that is better than {best} for all: {ours.value:.4g} a decision, {over_nobody}."
    )
    if apart:
        headline = (
            f"By the policy a decision is worth {ours.value:.4g}: {ours.gain:+.3g} (95 %: {ours.low:+.3g} to"
            f" {ours.high:+.3g}) against giving everybody {best}, {over_nobody}."
        )
    remarks = tuple(learned.data.sentences())
    if not apart:
        remarks += (f"The rows do not show well enough that another arm suits some users better than {best}.",)
    metrics = {"value": ours.value, "gain": ours.gain, "gain_low": ours.low, "gain_high": ours.high}
    metrics |= {f"value_{one.name.replace(' ', '_')}": one.value for one in valued[1:]}
    metrics["qini"] = float(np.trapezoid(policy.gained - policy.at_random, _SHARES))
    parameters = {
        "sought": dict(sought),
        "rounds": rounds,
        "settings": dict(task.settings),
        "arms": list(data.decisions.arms),
        DEVIATION: float(known.reward.std()),
        "weights": learned.weights,
        "caution": {key: value for key, value in asdict(learned.caution).items() if math.isfinite(value)},
    }
    return TrainingOutcome(
        UPLIFT, headline, metrics, parameters, _explain(mix, rows.x, data.names), remarks, policy=policy
    )


def _valued(name: str, arm: Ints, single: Ints, robust: Floats, user: Ints) -> Valued:
    at_row = np.arange(len(arm))
    gains = robust[at_row, arm] - robust[at_row, single]
    by_user = np.bincount(user, gains - gains.mean())
    half = 1.96 * math.sqrt(float(by_user @ by_user)) / len(gains)
    gain = float(gains.mean())
    return Valued(name, float(robust[at_row, arm].mean()), gain, gain - half, gain + half)


def _qini(effects: Floats, robust: Floats) -> tuple[Floats, Floats]:
    """Return the Qini curve (Radcliffe 2007), with doubly robust scores in place of differences of means."""
    arm = effects[:, 1:].argmax(axis=1) + 1
    rows = np.arange(len(effects))
    order = np.argsort(-effects[rows, arm], kind="stable")
    gains = (robust[rows, arm] - robust[:, 0])[order]
    total = np.concatenate([[0.0], np.cumsum(gains)]) / len(gains)
    return np.interp(_SHARES * len(gains), np.arange(len(total)), total), _SHARES * total[-1]


def _explain(mix: Mix, x: Floats, names: tuple[str, ...]) -> Attribution:
    """Attribute the trees' effect of the arm they like best: SHAP values minus those of `no_send`; they sum to it."""
    some = x[some_rows(len(x))]
    trees: Effects = mix.members[0]
    assert isinstance(trees, Shared)
    assert isinstance(trees.regression, Forest)
    k = len(trees.arm_features)
    best = trees.effects(some)[:, 1:].argmax(axis=1) + 1
    told = shap_values(trees.regression.booster, each_arm(some.astype(np.float32), k))
    by_arm = told.reshape(k, len(some), -1)
    apart = by_arm[best, np.arange(len(some))] - by_arm[0]
    shown = np.hstack([some, best[:, None].astype(np.float64)])
    own, of_arm = apart[:, : len(names)], apart[:, len(names) :].sum(axis=1, keepdims=True)
    return Attribution((*names, "the arm itself"), np.hstack([own, of_arm]), shown, "effect of the arm liked best")
