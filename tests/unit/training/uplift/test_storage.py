from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest

from tests.unit.training.uplift.making import a_binary_trial, a_trial
from training.uplift.bases import Boosted, Logit, Ridge
from training.uplift.learners import DR, Average, S, T, X
from training.uplift.mix import Mix
from training.uplift.storage import BadModelError, load, save

ASKED = np.random.default_rng(9).normal(size=(300, 3))


def a_mix() -> Mix:
    trial, ridge = a_trial(400), Ridge()
    learners = (S(Boosted(rounds=10)), T(ridge), X(ridge, Boosted(rounds=5)), DR(ridge, ridge), Average(ridge))
    return Mix((0.3, 0.2, 0.25, 0.15, 0.1), [learner.fit(trial) for learner in learners])


def test_what_is_loaded_predicts_the_same_to_the_last_bit(tmp_path: Path) -> None:
    mix = a_mix()
    save(mix, tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").effects(ASKED), mix.effects(ASKED))
    assert {path.suffix for path in (tmp_path / "model").iterdir()} == {".json", ".ubj"}


def test_lines_of_log_odds_are_kept_as_such(tmp_path: Path) -> None:
    model = T(Logit()).fit(a_binary_trial(400))
    save(model, tmp_path)
    np.testing.assert_array_equal(load(tmp_path).effects(ASKED[:, :2]), model.effects(ASKED[:, :2]))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    save(a_mix(), tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "change",
    [
        lambda held: held.update(form=2),
        lambda held: held["model"].update({"is": "os.system"}),
        lambda held: held["model"]["weights"].pop(),
        lambda held: held["model"]["members"][4].update(level=[0.0, float("nan"), 1.0]),
        lambda held: held["model"]["members"][1]["terms"][1][0][1]["slope"].pop(),
        lambda held: held["model"]["members"][0]["regression"].update(file="../0"),
        lambda held: held["model"]["members"][0]["regression"].update(file=99),
        lambda held: held.pop("model"),
    ],
)
def test_a_manifest_that_says_anything_else_is_refused(kept: Path, change: object) -> None:
    held = json.loads((kept / "uplift.json").read_text())
    change(held)  # type: ignore[operator]
    (kept / "uplift.json").write_text(json.dumps(held))
    with pytest.raises(BadModelError):
        load(kept)


class Bomb:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("/tmp/uplift-bomb"),)  # never reached


@pytest.mark.parametrize("payload", [b"", b"{", b"not a booster", pickle.dumps(Bomb())])
@pytest.mark.parametrize("name", ["0.ubj", "uplift.json"])
def test_a_damaged_file_or_a_pickle_is_refused_and_never_run(kept: Path, name: str, payload: bytes) -> None:
    (kept / name).write_bytes(payload)
    with pytest.raises(BadModelError):
        load(kept)
    assert not Path("/tmp/uplift-bomb").exists()


def test_a_truncated_booster_and_a_link_are_refused(kept: Path) -> None:
    whole = (kept / "0.ubj").read_bytes()
    (kept / "0.ubj").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadModelError):
        load(kept)
    (kept / "0.ubj").unlink()
    (kept / "elsewhere").write_bytes(whole)
    (kept / "0.ubj").symlink_to(kept / "elsewhere")
    with pytest.raises(BadModelError, match="plain file"):
        load(kept)


def test_a_file_that_is_too_large_is_refused(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.uplift.storage.LARGEST_BYTES", 100)
    with pytest.raises(BadModelError, match="larger than 100"):
        load(kept)


def test_only_models_of_this_package_are_saved(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="cannot be saved"):
        save(object(), tmp_path)  # type: ignore[arg-type]
