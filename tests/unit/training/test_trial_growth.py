"""What a trial grows, whatever happens to its process, and the losses it is judged by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xgboost as xgb
from ray import tune

from tests.unit.training.making_rows import churn_table, decision_table, written
from training import task as tasks
from training import trial
from training.dataset import HELD, TEST, divide, read
from training.task import EFFECT_RISK, Task, loss_of, task_of
from training.trial import TrialPlan, grow
from training.uplift.trial import TrialError

SOUGHT = {"eta": 0.2, "max_depth": 3, "min_child_weight": 2.0, "subsample": 0.7, "colsample_bytree": 0.7}


def churn_task(folder: Path) -> Task:
    data = read(written(churn_table(), folder), "churn")
    return task_of("churn", data, divide(data), seed=3)


def test_a_trial_that_goes_on_from_its_checkpoint_grows_what_it_would_have_grown(tmp_path: Path) -> None:
    task, plan = churn_task(tmp_path), TrialPlan(rounds=12, stride=4)
    whole = list(grow(task, SOUGHT, plan))
    booster, _ = next(grow(task, SOUGHT, plan))
    booster.save_model(tmp_path / "at-4.ubj")
    trial._binned = None  # as in a new process
    resumed = list(grow(task, SOUGHT, plan, xgb.Booster(model_file=str(tmp_path / "at-4.ubj"))))
    assert [step for _, step in resumed] == [step for _, step in whole[1:]]
    assert resumed[-1][0].get_dump() == whole[-1][0].get_dump()


def test_a_stride_never_goes_beyond_the_plan(tmp_path: Path) -> None:
    assert [step.rounds for _, step in grow(churn_task(tmp_path), SOUGHT, TrialPlan(rounds=10, stride=4))] == [4, 8, 10]


def test_rows_are_binned_once_for_all_trials_of_a_process(tmp_path: Path) -> None:
    task = churn_task(tmp_path)
    assert trial.matrices_of(task) is trial.matrices_of(task)


def test_no_test_row_is_among_what_a_trial_sees(tmp_path: Path) -> None:
    table = churn_table()
    marked = np.where(np.arange(1_000) >= 800, 1e6, table["noise"].to_numpy())
    data = read(written(table.set_column(5, "noise", [marked]), tmp_path), "churn")
    part = divide(data)
    assert (part[800:] == TEST).all()
    task = task_of("churn", data, part, seed=0)
    for seen in (task.x, task.held, task.seen):
        assert np.nanmax(seen[:, 2]) < 1e6
    assert len(task.held) == (part == HELD).sum() == len(task.target)


def test_the_risk_of_effects_is_lowest_for_the_true_ones_and_zero_for_none(tmp_path: Path) -> None:
    data = read(written(decision_table(), tmp_path), "uplift")
    task = task_of("uplift", data, divide(data), seed=0)
    n = len(task.target)
    wealth = task.held[:n, 0]
    truth = np.concatenate([np.zeros(n), np.where(wealth > 1, 2.0, -2.0), np.full(n, 0.1)])
    risk = {name: loss_of(EFFECT_RISK, told, task.target) for name, told in {
        "truth": truth, "none": np.zeros(3 * n), "reversed": -truth,
    }.items()}  # fmt: skip
    assert risk["truth"] < risk["none"] == 0.0 < risk["reversed"]
    assert loss_of(EFFECT_RISK, truth + 7, task.target) == pytest.approx(
        risk["truth"]
    )  # what all arms share is no effect


def test_trials_of_uplift_learn_effects(tmp_path: Path) -> None:
    data = read(written(decision_table(), tmp_path), "uplift")
    task = task_of("uplift", data, divide(data), seed=0)
    sought = {"eta": 0.2, "max_depth": 4, "min_child_weight": 5.0, "subsample": 0.8}
    steps = [step for _, step in grow(task, sought, TrialPlan(rounds=30, stride=10))]
    assert steps[-1].held < -0.5
    assert np.isnan(steps[-1].seen)


def test_log_loss_and_rmse_are_those_of_the_books() -> None:
    y, p = np.array([1.0, 0.0, 1.0]), np.array([0.9, 0.2, 0.6])
    assert loss_of(tasks.LOG_LOSS, p, y) == pytest.approx(-np.log([0.9, 0.8, 0.6]).mean())
    assert loss_of(tasks.RMSE, p, y) == pytest.approx(np.sqrt((0.01 + 0.04 + 0.16) / 3))


def test_an_arm_that_was_never_given_is_refused_before_any_search(tmp_path: Path) -> None:
    never = [["no_send", "offer", "tips", "gift"]] * 3_000
    table = decision_table(arms=never, propensities=[[0.4, 0.3, 0.2, 0.1]] * 3_000)
    data = read(written(table, tmp_path), "uplift")
    with pytest.raises(TrialError, match="absent_arm at 1: 0 rows"):
        task_of("uplift", data, divide(data), seed=0)


def test_propensities_that_are_none_are_refused_with_their_row(tmp_path: Path) -> None:
    vectors = [[0.4, 0.3, 0.3]] * 3_000
    vectors[4] = [0.4, 0.3, 1.3]
    data = read(written(decision_table(propensities=vectors), tmp_path), "uplift")
    with pytest.raises(TrialError, match="bad_propensity at 4"):
        task_of("uplift", data, divide(data), seed=0)


def test_a_checkpoint_that_is_gone_or_broken_is_as_good_as_none(tmp_path: Path) -> None:
    gone, broken = tmp_path / "gone", tmp_path / "broken"
    broken.mkdir()
    (broken / trial.STATE).write_text("[0.5, 1]")
    (broken / trial.MODEL).write_bytes(b"half of a mod")
    for folder in (gone, broken):
        assert trial._left_at(tune.Checkpoint(str(folder))) == (None, float("inf"), 0)
