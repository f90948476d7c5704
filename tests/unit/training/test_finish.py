"""From the best trial to an artifact and a report: the model in the files is the one the figures are of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.making_rows import churn_table, decision_table, written
from training import effects, labelled, report
from training.card import DataCard, examine
from training.dataset import TEST, Dataset, divide, read
from training.lineage import manifest_for
from training.outcome import TrainingOutcome
from training.search import Trial
from training.task import task_of, tried_first
from training.trial import TrialPlan, grow
from training.uplift import storage
from whisperer.models.loading import load
from whisperer.models.store import ArtifactStore


class Made:
    """A run of one trial, without a search."""

    def __init__(self, kind: str, data: Dataset, folder: Path, version: int = 1, window_days: int = 0) -> None:
        self.data, self.card, self.part = data, examine(data, kind), divide(data)
        task = task_of(kind, data, self.part, seed=0)
        grown = list(grow(task, tried_first(kind), TrialPlan(40, 10)))
        steps = tuple(step for _, step in grown)
        self.trials = [Trial(1, tried_first(kind), steps, "", 1.0), Trial(2, tried_first(kind), steps[:1], "", 0.1)]
        self.trials.append(Trial(3, tried_first(kind), (), "killed <b>too often</b>", 0.0))
        folder.mkdir()
        self.folder = folder
        if kind == "uplift":
            self.outcome = effects.finish(data, self.part, task, tried_first(kind), 40, folder, seed=0)
        else:
            self.outcome = labelled.finish(
                kind, data, self.part, task, tried_first(kind), grown[-1][0], folder, window_days
            )
        self.manifest = manifest_for(folder, self.outcome, data, self.card, name=kind, version=version, created_at=1)

    def page(self) -> str:
        counts = np.bincount(self.part, minlength=4).tolist()
        return report.render(self.outcome, self.card, counts, self.trials, self.manifest, "python -m training.train")


@pytest.fixture(scope="module")
def churn(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("churn")
    table = churn_table(2_000, plan=np.ones(2_000))
    return Made("churn", read(written(table, folder), "churn"), folder / "model")


@pytest.fixture(scope="module")
def uplift(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("uplift")
    return Made("uplift", read(written(decision_table(6_000), folder), "uplift"), folder / "model")


def test_the_artifact_scores_test_rows_as_the_report_has_it(churn: Made) -> None:
    artifact = load(churn.folder)
    test = churn.data.x[churn.part == TEST]
    curve = artifact.document("calibration.json")["churn"]
    said = np.interp(artifact.booster("churn.ubj").inplace_predict(test), curve["x"], curve["y"])
    assert churn.outcome.scored is not None
    assert said == pytest.approx(churn.outcome.scored.predicted, abs=1e-6)
    found = churn.outcome.confusion
    assert found is not None
    assert found.caught + found.alarmed == (said >= found.threshold).sum()
    assert found.caught + found.missed == churn.data.label[churn.part == TEST].sum()


def test_the_model_is_better_than_the_share_of_leavers_and_told_probabilities_come_true(churn: Made) -> None:
    told = churn.outcome.metrics
    assert told["log_loss"] < told["log_loss_of_share"] - 0.05
    assert told["mean_predicted"] == pytest.approx(told["mean_observed"], abs=0.06)


def test_the_manifest_says_where_the_model_came_from(churn: Made, tmp_path: Path) -> None:
    stated = load(churn.folder).manifest
    assert (stated.data.first, stated.data.last - 1) == (churn.data.time.min(), churn.data.time.max())
    assert stated.data.n_rows == 2_000
    assert tuple(stated.features) == churn.data.names
    assert stated.parameters["data_digest"] == churn.data.digest
    assert stated.parameters["sought"]["max_depth"] == 4
    assert re.fullmatch(r"[0-9.]+\+[0-9a-f]{12}", stated.code_version)
    store = ArtifactStore(tmp_path / "store", tmp_path / "cache")
    store.put("t_1", churn.folder, stated)
    assert store.fetch("t_1", "churn", 1).manifest == stated


def test_the_policy_tells_users_apart_and_its_worth_is_that_of_the_truth(uplift: Made) -> None:
    outcome = uplift.outcome
    assert outcome.policy is not None
    wealth = uplift.data.x[uplift.part == TEST, 0].astype(np.float64)
    best = np.where(wealth > 1, 2.0, 0.1).mean()  # over nobody: the offer for those whom it helps, tips for the others
    assert outcome.metrics["value"] - outcome.metrics["value_nobody"] == pytest.approx(best, abs=0.15)
    assert outcome.metrics["gain_low"] > 0
    assert outcome.metrics["qini"] > 0.1
    assert sum(outcome.policy.chosen) == (uplift.part == TEST).sum()


def test_the_uplift_files_are_those_that_the_learners_load(uplift: Made) -> None:
    model = storage.load(uplift.folder)
    found = model.effects(np.array([[3.0, 0.0], [0.3, 0.0]]))
    assert found[0, 1] == pytest.approx(2.0, abs=0.5)
    assert found[1, 1] == pytest.approx(-2.0, abs=0.5)
    assert load(uplift.folder).manifest.parameters["arms"] == ["no_send", "offer", "tips"]


def test_what_the_features_do_adds_up_to_the_effect(uplift: Made) -> None:
    found = uplift.outcome.attribution
    assert found.names == ("wealth", "age", "the arm itself")
    weight = np.abs(found.values).mean(axis=0)
    assert weight[0] > 3 * weight[1]


@pytest.mark.parametrize("kind", ["churn", "uplift"])
def test_the_report_is_one_file_that_loads_nothing(kind: str, request: pytest.FixtureRequest) -> None:
    page = request.getfixturevalue(kind).page()
    # References within the page, and pictures in it, are all there are; names of namespaces are not fetched.
    assert set(re.findall(r'(?:src|href)="([^"#]{0,10})', page)) <= {"", "data:image"}
    assert not re.search(r"<script|<link|@import|url\((?!#)", page)
    wanted = ["Learning curves", "What the model looks at", "Data card", "Lineage", "Trials"]
    wanted += ["Calibration", "At the chosen threshold"] if kind == "churn" else ["Qini", "What policies are worth"]
    for title in wanted:
        assert title in page
    assert page.count("<svg") == len(re.findall("<figure", page)) == 5
    assert "#010203" not in page


def test_the_report_says_what_is_odd_and_obeys_nothing_that_it_quotes(churn: Made) -> None:
    page = churn.page()
    assert "plan has the same value in every row." in page
    assert "killed &lt;b&gt;too often" in page
    assert churn.manifest.code_version in page
    assert f"{churn.outcome.metrics['auc']:.4g}" in page


def test_the_same_run_gives_the_same_report(churn: Made) -> None:
    assert churn.page() == churn.page()


def test_a_model_of_numbers_is_tested_and_reported(tmp_path: Path) -> None:
    made = Made("value", read(written(decision_table(), tmp_path), "value"), tmp_path / "model")
    assert [path.name for path in sorted(made.folder.iterdir())] == ["manifest.json", "value.ubj"]
    assert 0.1 < made.outcome.metrics["r2"] < 0.8
    assert made.page().count("<figure") == 4


def test_the_threshold_is_where_f1_is_highest() -> None:
    random = np.random.default_rng(0)
    p = random.random(300).round(2)  # with ties
    label = random.random(300) < p
    f1 = {t: 2 * (label & (p >= t)).sum() / ((p >= t).sum() + label.sum()) for t in np.unique(p)}
    assert f1[labelled.best_threshold(p, label)] == max(f1.values())


def test_a_card_of_a_run_is_json_for_programs(churn: Made) -> None:
    assert isinstance(churn.card, DataCard)
    assert isinstance(churn.outcome, TrainingOutcome)
    json.dumps(churn.outcome.metrics, allow_nan=False)
