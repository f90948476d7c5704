"""Search for parameters: Optuna proposes, ASHA cuts what lags behind, Ray Tune runs it and survives kills.

Guarantees: a killed trial resumes from its latest checkpoint, a search whose driver is killed from the trials that it
had finished or begun; rows are sent to the cluster once. With one trial at a time the same seed finds the same
parameters; with more, trials end in another order each time, and both proposals and cuts depend on the order. Leaves to
others: the loss (:mod:`training.task`) and what becomes of the best parameters.

References
----------
Li et al., MLSys 2020 (ASHA); Akiba et al., KDD 2019 (Optuna); Bergstra et al., NeurIPS 2011 (TPE).
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.fs as pafs
import xgboost as xgb

from training import trial
from training.progress import Progress, number_of
from training.task import Task, space, tried_first
from training.trial import Step, TrialPlan
from whisperer.errors import UnavailableError, WhispererError

EXPERIMENT = "search"
REDUCTION = 3
"""At each rung of ASHA, one trial in this many goes on."""
MOST_DEATHS = 5
"""How often a trial's process may die; after that the trial is given up, and the others go on."""


class SearchError(WhispererError):
    """Raised if every trial failed; the message has the first one's reason."""

    code = "search_failed"


@dataclass(frozen=True, slots=True)
class Trial:
    """One trial of a search.

    Attributes
    ----------
    number : from 1, in order of proposal
    parameters : those that were searched
    steps : its learning curve
    failed : why it failed, empty if it did not
    seconds : spent on it
    checkpoint : Tune's latest, None if there is none
    """

    number: int
    parameters: dict[str, Any]
    steps: tuple[Step, ...]
    failed: str
    seconds: float
    checkpoint: Any = None

    @property
    def best(self) -> Step:
        """The step with the lowest held-out loss."""
        return min(self.steps, key=lambda step: step.held)

    def told(self) -> dict[str, Any]:
        """Return the trial as JSON values; the loss on rows learned from is None if it was not measured."""
        steps = [{k: v if v == v else None for k, v in step.report().items()} for step in self.steps]
        told = {"number": self.number, "parameters": self.parameters, "failed": self.failed}
        return {**told, "seconds": round(self.seconds, 2), "steps": steps}


@dataclass(frozen=True, slots=True)
class SearchSettings:
    """How to search; ``at_once`` is how many trials may run at the same time, one core each."""

    trials: int = 20
    at_once: int = 2
    seed: int = 0
    plan: TrialPlan = field(default_factory=TrialPlan)


def search(kind: str, task: Task, settings: SearchSettings, files: pafs.FileSystem, folder: str) -> list[Trial]:
    """Run all trials and return them in order of proposal; resumes from what ``folder`` holds of an earlier start.

    Ray has to be connected. Only use a folder that nobody else can write to: Tune keeps its state as pickles.

    Raises
    ------
    SearchError, UnavailableError
    """
    _quiet()
    import optuna
    from ray import tune
    from ray.tune.logger import JsonLoggerCallback
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    at_once = _free(settings.at_once)
    place = f"{folder}/{EXPERIMENT}"
    trainable: Any = tune.with_resources(
        tune.with_parameters(trial.run, task=task, plan=settings.plan), tune.PlacementGroupFactory([{"CPU": 1}])
    )
    plan = settings.plan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Tune warns about its own future versions
        if tune.Tuner.can_restore(place, storage_filesystem=files):
            tuner = tune.Tuner.restore(
                place, trainable, storage_filesystem=files, resume_errored=True, param_space=space(kind)
            )
        else:
            tuner = tune.Tuner(
                trainable,
                param_space=space(kind),
                tune_config=tune.TuneConfig(
                    metric="held",
                    mode="min",
                    num_samples=settings.trials,
                    max_concurrent_trials=at_once,
                    reuse_actors=True,  # whose matrices are binned already
                    trial_dirname_creator=_folder_of,
                    search_alg=OptunaSearch(seed=settings.seed, points_to_evaluate=[tried_first(kind)]),
                    scheduler=ASHAScheduler(
                        time_attr="rounds",
                        max_t=plan.rounds,
                        grace_period=max(plan.stride, plan.rounds // REDUCTION**2),
                        reduction_factor=REDUCTION,
                    ),
                ),
                run_config=tune.RunConfig(
                    name=EXPERIMENT,
                    storage_path=folder,
                    storage_filesystem=files,
                    failure_config=tune.FailureConfig(max_failures=MOST_DEATHS),
                    # All of them, until `sweep`: Tune records which is a trial's latest only now and then, and if
                    # a driver was killed in between, the one that is recorded must still be there.
                    checkpoint_config=tune.CheckpointConfig(num_to_keep=None),
                    callbacks=[Progress(settings.trials, plan.rounds), JsonLoggerCallback()],
                    verbose=0,
                ),
            )
        results = tuner.fit()
        found = sorted((_trial(results[at]) for at in range(len(results))), key=lambda one: one.number)
    if not any(one.steps for one in found):
        reason = next((one.failed for one in found if one.failed), "no trial was started")
        raise SearchError(f"every trial failed; the first one: {reason}")
    return found


def sweep(files: pafs.FileSystem, folder: str) -> None:
    """Delete the checkpoints of a search that is finished."""
    for found in files.get_file_info(pafs.FileSelector(f"{folder}/{EXPERIMENT}", allow_not_found=True, recursive=True)):
        if found.type == pafs.FileType.Directory and found.base_name.startswith("checkpoint_"):
            files.delete_dir(found.path)


def best_of(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the lowest loss at any stride; ties go to the earliest."""
    return min((one for one in trials if one.steps), key=lambda one: one.best.held)


def booster_of(found: Trial) -> xgb.Booster:
    """Return what the trial had grown when its loss was lowest."""
    with found.checkpoint.as_directory() as folder:
        grown = xgb.Booster({"nthread": 1}, model_file=str(Path(folder, trial.MODEL)))
    return grown[: found.best.rounds]


def _trial(result: Any) -> Trial:
    """Convert a result; a stride that ran twice, because a process died after its report, counts once."""
    number, frame = int(Path(result.path).name.partition("-")[0]), result.metrics_dataframe
    steps: dict[int, Step] = {}
    if frame is not None:
        for row in frame[["rounds", "held", "seen"]].itertuples(index=False):
            steps[int(row.rounds)] = Step(int(row.rounds), float(row.held), float(row.seen))
    failed = "" if result.error is None else str(result.error).strip().splitlines()[-1][:300]
    seconds = float((result.metrics or {}).get("time_total_s", 0.0))
    return Trial(
        number, dict(result.config), tuple(steps[at] for at in sorted(steps)), failed, seconds, result.checkpoint
    )


def _folder_of(one: Any) -> str:
    return f"{number_of(one):03d}-{one.trial_id}"


def _free(wanted: int) -> int:
    """Return how many trials fit on the cluster now. Raises UnavailableError, because Tune would wait forever."""
    import ray

    cores = int(ray.available_resources().get("CPU", 0))
    if cores < 1:
        raise UnavailableError(
            "no whole core of the cluster is free for a trial: give it more (cluster.num_cpus of its settings), or"
            " train beside it with --local"
        )
    return min(wanted, cores)


def _quiet() -> None:
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # Progress reports what a person needs to know
    # Read by Tune when it starts.
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "2")
    os.environ.setdefault("TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S", "0")
    os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
