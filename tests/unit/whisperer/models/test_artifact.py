from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.unit.whisperer.models.artifacts import CALIBRATION, artifact, files, forest, manifest, ubjson, write
from whisperer.errors import UnavailableError
from whisperer.models.artifact import MANIFEST, DataRange, decode, digest, encode, manifest_of, verify
from whisperer.models.errors import ArtifactError
from whisperer.models.loading import load


def code_of(call: Any, *args: Any) -> str:
    with pytest.raises(ArtifactError) as caught:
        call(*args)
    return caught.value.code


def edited(folder: Path, **changes: Any) -> Path:
    """The folder with its manifest changed by hand."""
    told = json.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_text(json.dumps(told | changes))
    return folder


def listing(path: str, content: bytes = b"{}") -> list[dict[str, Any]]:
    return [{"path": path, "size_bytes": len(content), "blake2b": "0" * 64}]


def test_an_artifact_loads_as_it_was_written(tmp_path: Path) -> None:
    found = load(artifact(tmp_path / "a"))
    assert found.paths() == sorted(files())
    assert found.document("calibration.json") == CALIBRATION
    assert found.tensors("nets/gru.safetensors")["w"].shape == (2, 3)
    assert found.table("ridge.arrow").column("n").to_pylist() == [3, 4]
    assert found.manifest.data.n_rows == 120_000


def test_a_booster_scores_alike_from_both_forms(tmp_path: Path) -> None:
    pytest.importorskip("xgboost")
    found = load(artifact(tmp_path / "a"))
    rows = np.array([[0.1, 0.9], [0.1, 0.1]], np.float32)
    scores = [found.booster(path).inplace_predict(rows) for path in ("model.ubj", "model.json")]
    assert np.array_equal(*scores)
    assert scores[0][0] != scores[0][1]
    with pytest.raises(ArtifactError, match="KeyError"):
        found.booster("calibration.json")


def test_without_xgboost_the_rest_still_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "xgboost", None)
    found = load(artifact(tmp_path / "a"))
    with pytest.raises(UnavailableError, match="extra `training`"):
        found.booster("model.ubj")


def test_what_is_asked_for_is_of_the_manifest_and_of_its_kind(tmp_path: Path) -> None:
    found = load(artifact(tmp_path / "a"))
    assert code_of(found.booster, "other.ubj") == "missing_file"
    assert code_of(found.document, "../a/calibration.json") == "missing_file"
    assert code_of(found.document, "model.ubj") == "unknown_format"


def test_the_digest_stands_for_every_byte(tmp_path: Path) -> None:
    first = manifest(write(tmp_path / "a"))
    assert digest(first) == digest(manifest(write(tmp_path / "b"))) == digest(decode(encode(first)))
    changed = files() | {"calibration.json": b'{"slope": 1.5, "intercept": -0.26}'}
    assert digest(manifest(write(tmp_path / "c", changed))) != digest(first)
    assert digest(manifest(tmp_path / "a", code_version="other")) != digest(first)
    assert code_of(load, artifact(tmp_path / "d"), "0" * 64) == "wrong_hash"


def test_a_changed_file_is_refused_also_after_the_folder_was_verified(tmp_path: Path) -> None:
    found = load(artifact(tmp_path / "a"))
    path = tmp_path / "a" / "calibration.json"
    path.write_bytes(path.read_bytes().replace(b"1.5", b"9.5"))
    assert code_of(found.document, "calibration.json") == "wrong_hash"
    assert code_of(load, tmp_path / "a") == "wrong_hash"
    path.write_bytes(path.read_bytes() + b" ")
    assert code_of(found.document, "calibration.json") == "wrong_size"
    path.unlink()
    assert code_of(found.document, "calibration.json") == "missing_file"


def test_a_model_cut_off_is_refused_though_its_hash_fits(tmp_path: Path) -> None:
    whole = ubjson(forest())
    folder = write(tmp_path / "a", {"model.ubj": whole[:-40]})
    told = {"created_at": 0, "data": DataRange(0, 1, 1), "code_version": "", "features": [], "feature_registry": ""}
    assert code_of(lambda: manifest_of(folder, name="a", version=1, kind="uplift", **told)) == "broken_model"


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    secret = write(tmp_path / "secret", {"model.json": b'{"password": 1}'})
    for at, (name, target) in enumerate([("calibration.json", "model.json"), ("nets", ".")]):
        folder = artifact(tmp_path / f"a{at}")
        found = load(folder)
        gone = folder / name
        os.rename(gone, tmp_path / f"gone{at}")
        gone.symlink_to(secret / target)
        assert code_of(load, folder) == "unsafe_path"
        path = name if at == 0 else "nets/gru.safetensors"
        assert code_of(found.tensors if at else found.document, path) == "unsafe_path"
    link = tmp_path / "hard"
    artifact(link)
    (link / "more.json").symlink_to("calibration.json")
    assert code_of(verify, link, manifest(write(tmp_path / "b"))) == "unsafe_path"


def test_a_pipe_in_the_place_of_a_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a")
    found = load(folder)
    (folder / "calibration.json").unlink()
    os.mkfifo(folder / "calibration.json")
    assert code_of(load, folder) == "unsafe_path"
    assert code_of(found.document, "calibration.json") == "unsafe_path"


@pytest.mark.parametrize(
    "path",
    ["../model.json", "a/../../model.json", "/etc/passwd.json", ".hidden.json", "a//b.json", "a\\b.json", "C:x.json",
     "a/./b.json", "model.json\0", "a\n.json", "", "x" * 200 + ".json", "a/b/c/d/e.json", MANIFEST],
)  # fmt: skip
def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path, path: str) -> None:
    folder = edited(artifact(tmp_path / "a" / "b"), files=listing(path))
    (tmp_path / "a" / "model.json").write_bytes(b"{}")
    assert code_of(load, folder) in ("unsafe_path", "invalid_manifest")


def test_a_file_that_nobody_listed_is_refused(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a")
    (folder / "more.pkl").write_bytes(b"\x80\x04.")
    assert code_of(load, folder) == "unlisted_file"
    assert code_of(manifest, folder) == "unknown_format"


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "../x"},
        {"name": "a" * 64},
        {"version": 0},
        {"version": 2**40},
        {"version": "1"},
        {"files": []},
        {"files": listing("a.json") * 2},
        {"files": [listing("a.json")[0] | {"size_bytes": 2**40}]},
        {"files": [listing("a.json")[0] | {"blake2b": "x"}]},
        {"data": {"first": 2, "last": 1, "n_rows": 0}},
        {"metrics": {"auc": "high"}},
        {"more": 1},
        {"features": ["f"] * 20_000},
    ],
)
def test_a_manifest_that_says_nonsense_is_refused(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert code_of(load, edited(artifact(tmp_path / "a"), **changes)) == "invalid_manifest"


def test_a_manifest_that_is_none_is_refused(tmp_path: Path) -> None:
    folder = artifact(tmp_path / "a")
    for content in (b"", b"{", b"[]", b'{"a":' * 100_000, b"\xff\xfe", b" " * (2 << 20)):
        (folder / MANIFEST).write_bytes(content)
        assert code_of(load, folder) == "invalid_manifest"
    (folder / MANIFEST).unlink()
    assert code_of(load, folder) == "missing_file"
