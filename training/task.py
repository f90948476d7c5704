"""Prepare what each trial works on: a kind of model's matrices, its loss, and the space of parameters to search.

| kind | booster predicts | loss on the held-out rows |
|---|---|---|
| churn | probability that a user leaves | log-loss |
| value | a number, such as the reward | root mean squared error |
| uplift | reward of (user, arm): an S-learner | squared distance of its effects to doubly robust scores |

The loss of uplift is the part of that distance that depends on the effects, so that 0 stands for "no arm does
anything"; it is the doubly robust counterpart of the R-loss (Kennedy, EJS 2023). Guarantees: the arrays contain no test
row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.dataset import CHURN, HELD, TRAIN, UPLIFT, Dataset, at
from training.uplift.bases import Ridge
from training.uplift.learners import expected, scores
from training.uplift.trial import Trial, examine

Floats = NDArray[np.float64]

LOG_LOSS, RMSE, EFFECT_RISK = "log_loss", "rmse", "effect_risk"
SEEN = 20_000
"""Training rows on which a trial's loss is also measured, to show how much it learned by heart."""
MOST_HELD = 100_000
"""The most held-out rows for uplift, where each is predicted once per arm."""

TRIED_FIRST: dict[str, Any] = {
    "eta": 0.1, "max_depth": 4, "min_child_weight": 10.0, "subsample": 0.8, "colsample_bytree": 0.8,
}  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One kind's matrices, labels and loss.

    Attributes
    ----------
    settings : XGBoost's parameters that are not searched
    loss : name of the loss
    x, y : float32 of shape (n_train, n_columns), and labels
    held, target : the held-out rows; for uplift every row once per arm, arm by arm, and effects of shape
        (n_held, n_arms)
    seen, seen_label : some of the training rows; none for uplift, where no single row has an effect
    key : identifies all of it
    """

    settings: Mapping[str, Any]
    loss: str
    x: NDArray[np.float32]
    y: Floats
    held: NDArray[np.float32]
    target: Floats
    seen: NDArray[np.float32]
    seen_label: Floats
    key: str


def task_of(kind: str, data: Dataset, part: NDArray[np.int8], seed: int) -> Task:
    """Make the task. ``part``: of each row, from :func:`training.dataset.divide`. May raise TrialError."""
    train, held = np.flatnonzero(part == TRAIN), np.flatnonzero(part == HELD)
    random = np.random.default_rng(seed)
    settings = settings_of(kind, data, seed)
    if kind == UPLIFT:
        rows = at(data, np.sort(random.permutation(held)[:MOST_HELD]))
        before = at(data, train)
        assert before.decisions is not None
        k = len(before.decisions.arms)
        judged = trial_of(rows)
        examine(trial_of(before))  # unusable rows are refused before anybody waits for a search
        robust = scores(judged, expected(judged, Ridge(), seed=seed))
        x = np.hstack([before.x, one_hot(before.decisions.action, k)])
        none = np.empty((0, x.shape[1]), np.float32)
        return Task(
            settings, EFFECT_RISK, x, before.label, each_arm(rows.x, k), robust - robust[:, :1], none,
            np.empty(0), data.digest,
        )  # fmt: skip
    seen = np.sort(random.permutation(train)[:SEEN])
    return Task(
        settings,
        LOG_LOSS if kind == CHURN else RMSE,
        _taken(data.x, train),
        data.label[train],
        data.x[held],
        data.label[held],
        data.x[seen],
        data.label[seen],
        data.digest,
    )


def settings_of(kind: str, data: Dataset, seed: int) -> dict[str, Any]:
    """Return XGBoost's parameters that are not searched."""
    is_binary = bool(np.isin(data.label, (0.0, 1.0)).all())
    return {
        "objective": "binary:logistic" if kind != "value" and is_binary else "reg:squarederror",
        "tree_method": "hist",
        "nthread": 1,
        "seed": seed,
        # A trial continued from its checkpoint draws what it would have drawn.
        "seed_per_iteration": True,
    }


def space(kind: str) -> dict[str, Any]:
    """Return Tune's search space. Uplift's holds the settings of :class:`training.uplift.bases.Boosted`."""
    from ray import tune

    found = {
        "eta": tune.loguniform(0.03, 0.3),
        "max_depth": tune.randint(2, 8),
        "min_child_weight": tune.loguniform(1, 100),
        "subsample": tune.uniform(0.5, 1.0),
    }
    if kind != UPLIFT:
        found |= {"colsample_bytree": tune.uniform(0.3, 1.0), "reg_lambda": tune.loguniform(0.1, 100)}
    return found


def tried_first(kind: str) -> dict[str, Any]:
    """Return parameters that are good enough on most rows: the search is never worse on the held-out part."""
    return {key: TRIED_FIRST.get(key, 1.0) for key in space(kind)}


def booster_parameters(task: Task, sought: Mapping[str, Any]) -> dict[str, Any]:
    """Return all of XGBoost's parameters for a trial."""
    found = {**task.settings, **sought}
    # One number for both, as in `Boosted`.
    return found | {"colsample_bytree": sought["subsample"]} if task.loss == EFFECT_RISK else found


def loss_of(name: str, predicted: NDArray[Any], target: Floats) -> float:
    """Compute a loss; lower is better. ``predicted``: the booster's output for ``target``'s rows, or each arm there."""
    found = np.asarray(predicted, np.float64)
    if name == LOG_LOSS:
        p = np.clip(found, 1e-12, 1 - 1e-12)
        return float(-np.mean(target * np.log(p) + (1 - target) * np.log1p(-p)))
    if name == RMSE:
        return float(np.sqrt(np.mean((found - target) ** 2)))
    values = found.reshape(target.shape[1], -1).T
    effects = values - values[:, :1]
    return float(np.mean(np.sum(effects**2 - 2 * effects * target, axis=1)))


def trial_of(data: Dataset) -> Trial:
    """Convert decisions to what the uplift learners read. Raises TrialError."""
    did = data.decisions
    assert did is not None
    return Trial(
        data.x.astype(np.float64), did.action, data.label, did.propensity, data.user, one_hot_arms(len(did.arms)),
        data.names,
    )  # fmt: skip


def one_hot_arms(n_arms: int) -> Floats:
    """Return each arm's features: a row of 0 and 1 per arm, all 0 for arm 0; shape (n_arms, n_arms - 1)."""
    return np.eye(n_arms)[:, 1:]


def one_hot(action: NDArray[np.int64], n_arms: int) -> NDArray[np.float32]:
    """Return the features of the arm at each row, shape (n, n_arms - 1)."""
    return one_hot_arms(n_arms).astype(np.float32)[action]


def each_arm(x: NDArray[np.float32], n_arms: int) -> NDArray[np.float32]:
    """Stack all rows with arm 0, then all with arm 1, and so on."""
    arms = np.repeat(np.arange(n_arms), len(x))
    return np.hstack([np.tile(x, (n_arms, 1)), one_hot(arms, n_arms)])


def _taken(x: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the rows, as a view if they are contiguous, as they are when sorted by time."""
    is_stretch = len(rows) > 0 and rows[-1] - rows[0] + 1 == len(rows)
    return x[rows[0] : rows[-1] + 1] if is_stretch else x[rows]
