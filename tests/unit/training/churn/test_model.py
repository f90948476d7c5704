from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("xgboost", reason="the extra `training` is not installed")
pytest.importorskip("sklearn", reason="the extra `training` is not installed")

from training.churn.encode import ColumnError
from training.churn.mixing import log_loss, logit, sigmoid
from training.churn.model import ChurnModel, Fitted, fit_churn, stratified
from training.churn.report import AbsentClassError

N = 1_500


def customers(seed: int, n: int = N) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray]:
    """Columns, label, and the true probability: an effect by plan, a bend, an interaction."""
    rng = np.random.default_rng(seed)
    plan, age, use = rng.choice(["free", "paid"], n), rng.exponential(10, n), rng.normal(size=n)
    p = sigmoid(np.where(plan == "free", 0.8, -0.8) - np.minimum(age, 10) / 5 + np.where(use > 0, age / 10, -0.5))
    columns = {"plan": plan, "age": age, "use": use, "same": np.ones(n), "guess": p}
    return columns, rng.random(n) < p, p


def without_guess(columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: column for name, column in columns.items() if name != "guess"}


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    columns, label, _ = customers(0)
    return fit_churn(without_guess(columns), label, penalties=(3.0,), depths=(2, 3))


def test_it_is_nearly_as_good_as_the_truth_and_the_mix_as_its_best_member(fitted: Fitted) -> None:
    columns, label, truth = customers(1, 20_000)
    p = fitted.model.probability(columns)
    assert log_loss(p, label) < log_loss(truth, label) + 0.02
    assert log_loss(p, label) < log_loss(np.full(len(label), label.mean()), label) - 0.05
    members = [value for name, value in fitted.held_out.items() if name != "mix"]
    assert fitted.held_out["mix"] < min(members) + 1e-3


def test_its_probabilities_are_calibrated(fitted: Fitted) -> None:
    columns, label, _ = customers(1, 20_000)
    p = fitted.model.probability(columns)
    for low in (0.1, 0.3, 0.5, 0.7):
        of = (p >= low) & (p < low + 0.2)
        assert label[of].mean() == pytest.approx(p[of].mean(), abs=0.07)


def test_a_column_that_teaches_nothing_is_reported_and_not_needed_to_score(fitted: Fitted) -> None:
    assert fitted.report.constant == ("same",)
    columns, *_ = customers(2, 10)
    del columns["same"]
    assert len(fitted.model.probability(columns)) == 10
    del columns["age"]
    with pytest.raises(ColumnError):
        fitted.model.probability(columns)


def test_a_saved_model_scores_to_the_last_bit_and_is_no_pickle(fitted: Fitted, tmp_path: Path) -> None:
    fitted.model.save(tmp_path / "m")
    columns, *_ = customers(2)
    again = ChurnModel.load(tmp_path / "m")
    assert again.probability(columns).tobytes() == fitted.model.probability(columns).tobytes()
    assert {path.suffix for path in (tmp_path / "m").iterdir()} == {".json", ".ubj"}


def test_a_manifest_of_another_form_is_refused_and_none_leads_out_of_its_folder(fitted: Fitted, tmp_path: Path) -> None:
    folder = tmp_path / "m"
    fitted.model.save(folder)
    manifest = json.loads((folder / "churn.json").read_text())
    (folder / "trees_2.0.ubj").rename(tmp_path / "trees_2.0.ubj")
    manifest["members"]["trees_2"]["trees"][0] = "../trees_2.0.ubj"
    (folder / "churn.json").write_text(json.dumps(manifest))
    with pytest.raises(Exception, match=r"trees_2\.0\.ubj"):
        ChurnModel.load(folder)
    (folder / "churn.json").write_text(json.dumps(manifest | {"form": 99}))
    with pytest.raises(ValueError, match="form 99"):
        ChurnModel.load(folder)


def test_with_few_rows_it_says_what_its_prior_says() -> None:
    columns, label, truth = customers(3, 120)
    start = fit_churn(columns, label, prior="guess", penalties=(30.0,), depths=(2,))
    bare = fit_churn(without_guess(columns), label, penalties=(30.0,), depths=(2,))
    fresh, *_, p = customers(4, 5_000)

    def off(fit: Fitted) -> float:
        return float(np.abs(logit(fit.model.probability(fresh)) - logit(p)).mean())

    assert off(start) < off(bare)
    assert truth.shape == (120,)


def test_rows_in_blocks_of_time_count_every_member_alike() -> None:
    columns, label, _ = customers(5)
    blocked = fit_churn(without_guess(columns), label, block=np.arange(N) * 3 // N, penalties=(3.0,), depths=(2,))
    assert blocked.model.mix.weights == (0.5, 0.5)


def test_a_later_slice_sets_the_level() -> None:
    """The label has become twice as rare lately: who calibrates on the later rows knows."""
    columns, label, _ = customers(6, 2_500)
    later = np.arange(2_500) >= 1_500
    label = label & (~later | (np.random.default_rng(0).random(2_500) < 0.5))
    told = {
        way: fit_churn(without_guess(columns), label, later=given, penalties=(3.0,), depths=(2,))
        for way, given in (("with", later), ("without", None))
    }
    fresh, *_, p = customers(7, 5_000)
    level = {way: fit.model.probability(fresh).mean() for way, fit in told.items()}
    assert level["with"] == pytest.approx(p.mean() / 2, abs=0.04)
    assert level["without"] > level["with"] + 0.05


def test_an_absent_class_is_refused() -> None:
    columns, label, _ = customers(8, 100)
    with pytest.raises(AbsentClassError):
        fit_churn(columns, np.zeros_like(label))


def test_folds_are_stratified_and_the_same_for_the_same_labels() -> None:
    label = np.random.default_rng(0).random(1_003) < 0.1
    fold = stratified(label, 5)
    shares = [label[fold == k].sum() for k in range(5)]
    assert max(shares) - min(shares) <= 1
    assert stratified(label, 5).tolist() == fold.tolist()
