"""Run one trial: boosting in strides, each of which ends with a checkpoint and its loss on the held-out rows.

Guarantees: the same parameters give the same booster, even if the trial was killed and resumed from its checkpoint; the
matrices are binned once per process, however many trials it runs, from rows that all processes of a machine share.
Leaves to others: which parameters, and whether to go on (:mod:`training.search`).
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xgboost as xgb

from training.task import Task, booster_parameters, loss_of

MODEL, STATE = "model.ubj", "state.json"
PATIENCE = 4
"""Strides without a better loss after which a trial ends by itself."""


@dataclass(frozen=True, slots=True)
class TrialPlan:
    """How far a trial goes.

    Attributes
    ----------
    rounds : trees of a trial that is not cut
    stride : trees between two looks at the held-out rows
    """

    rounds: int = 270
    stride: int = 15


@dataclass(frozen=True, slots=True, eq=False)
class Matrices:
    """A task's rows, binned for XGBoost."""

    train: xgb.DMatrix
    held: xgb.DMatrix
    seen: xgb.DMatrix | None


@dataclass(frozen=True, slots=True)
class Step:
    """Losses after ``rounds`` rounds; ``seen`` on training rows, NaN if it is not measured."""

    rounds: int
    held: float
    seen: float

    def report(self) -> dict[str, float]:
        """Return the step as Tune's metrics."""
        return {"rounds": self.rounds, "held": self.held, "seen": self.seen}


_binned: tuple[str, Matrices] | None = None
"""For the task that this process worked on last."""


def matrices_of(task: Task) -> Matrices:
    """Return a task's binned matrices, made once per process."""
    global _binned
    if _binned is None or _binned[0] != task.key:
        _binned = None  # frees the old ones before the next are made
        train = xgb.QuantileDMatrix(task.x, task.y, nthread=1)
        held = xgb.QuantileDMatrix(task.held, ref=train, nthread=1)
        seen = xgb.QuantileDMatrix(task.seen, ref=train, nthread=1) if len(task.seen) else None
        _binned = task.key, Matrices(train, held, seen)
    return _binned[1]


def grow(
    task: Task, sought: Mapping[str, Any], plan: TrialPlan, booster: xgb.Booster | None = None
) -> Iterator[tuple[xgb.Booster, Step]]:
    """Continue boosting, from ``booster`` or from nothing, and yield after each stride."""
    rows = matrices_of(task)
    parameters = booster_parameters(task, sought)
    grown = xgb.Booster(parameters, [rows.train, rows.held]) if booster is None else booster
    grown.set_param(parameters)
    for start in range(grown.num_boosted_rounds(), plan.rounds, plan.stride):
        stop = min(start + plan.stride, plan.rounds)
        _begin_anew(grown)
        for number in range(start, stop):
            grown.update(rows.train, number)
        held = loss_of(task.loss, grown.predict(rows.held), task.target)
        seen = float("nan") if rows.seen is None else loss_of(task.loss, grown.predict(rows.seen), task.seen_label)
        yield grown, Step(stop, held, seen)


def _begin_anew(booster: xgb.Booster) -> None:
    """Make XGBoost forget the position of its column draws, which no checkpoint holds: changing the method recreates
    its updater. With `seed_per_iteration`, a stride then draws the same whatever ran before it in this process."""
    booster.set_param("tree_method", "approx")
    booster.save_config()  # makes the change take effect
    booster.set_param("tree_method", "hist")


def _left_at(checkpoint: Any) -> tuple[xgb.Booster | None, float, int]:
    """Return booster, best loss and strides since; from nothing if there is no checkpoint, or a broken one.

    Grown from nothing, the trial is the same.
    """
    if checkpoint is not None:
        try:
            with checkpoint.as_directory() as folder:
                best, waited = json.loads(Path(folder, STATE).read_bytes())
                return xgb.Booster(model_file=bytearray(Path(folder, MODEL).read_bytes())), best, waited
        except (OSError, ValueError, xgb.core.XGBoostError):
            pass
    return None, float("inf"), 0


def run(config: dict[str, Any], task: Task, plan: TrialPlan) -> None:
    """Run a trial, as Tune's function trainable."""
    from ray import tune

    booster, best, waited = _left_at(tune.get_checkpoint())
    for grown, step in grow(task, config, plan, booster):
        best, waited = (step.held, 0) if step.held < best else (best, waited + 1)
        with tempfile.TemporaryDirectory(prefix="stride-") as folder:
            grown.save_model(Path(folder, MODEL))
            Path(folder, STATE).write_text(json.dumps([best, waited]))
            tune.report(step.report(), checkpoint=tune.Checkpoint.from_directory(folder))
        if waited >= PATIENCE:
            return
