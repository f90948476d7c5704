"""What each format lets in, and what it does not: every hostile file here is a real one."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import random
import struct
import zipfile
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.whisperer.models.artifacts import arrow, files, forest, framed, safetensors, tree, ubjson
from whisperer.models import booster, tables, tensors
from whisperer.models.booster import OBJECTIVES
from whisperer.models.errors import ArtifactError
from whisperer.models.formats import check
from whisperer.models.ubjson import decode


class Bomb:
    def __reduce__(self) -> Any:
        return os.system, ("touch /tmp/this-must-never-exist",)


def zipped(name: str, content: bytes) -> bytes:
    """As ``torch.save`` writes a state_dict: a zip file with a pickle in it."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, content)
    return out.getvalue()


def npy(array: np.ndarray) -> bytes:
    out = BytesIO()
    np.save(out, array, allow_pickle=True)
    return out.getvalue()


def code_of(path: str, data: bytes) -> str:
    with pytest.raises(ArtifactError) as caught:
        check(path, data)
    return caught.value.code


@pytest.mark.parametrize("path", files())
def test_what_we_write_is_let_in(path: str) -> None:
    check(path, files()[path])


@pytest.mark.parametrize(
    "path", ["m.pkl", "m.pickle", "m.pt", "m.pth", "m.npy", "m.npz", "m.joblib", "m.so", "m.zip", "m", "ubj", "m.UBJ"]
)
def test_a_file_of_any_other_name_is_refused_whatever_it_holds(path: str) -> None:
    assert code_of(path, files()["model.ubj"]) == "unknown_format"


@pytest.mark.parametrize("extension", [".ubj", ".json", ".safetensors", ".arrow"])
@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Bomb()),
        pickle.dumps(Bomb(), protocol=0),
        zipped("archive/data.pkl", pickle.dumps(Bomb())),
        npy(np.array([Bomb()], dtype=object)),
        b"\x7fELF" + b"\0" * 60,
        b"",
        b"\0" * 64,
        b"\xff" * 64,
    ],
    ids=["pickle", "pickle-0", "torch-zip", "npy-objects", "elf", "empty", "zeros", "ones"],
)
def test_a_hostile_file_under_a_known_name_is_refused(extension: str, data: bytes) -> None:
    assert code_of("model" + extension, data) in ("wrong_magic", "broken_model")
    assert not os.path.exists("/tmp/this-must-never-exist")


@pytest.mark.parametrize("path", files())
def test_a_file_cut_off_anywhere_is_refused(path: str) -> None:
    data = files()[path]
    whole = data.rstrip(b"}") if path == "calibration.json" else data
    for n in {0, 1, 7, 8, 9, *range(10, len(whole), 17), len(whole) - 1}:
        with pytest.raises(ArtifactError):
            check(path, data[:n])


def test_json_that_nests_without_end_is_refused() -> None:
    assert code_of("m.json", b'{"a":' * 100_000) == "broken_model"
    assert code_of("m.ubj", b"{" + (b"U\x01a{" * 100_000)) == "broken_model"


# Trees


def broken(document: dict[str, Any]) -> str:
    with pytest.raises(ArtifactError) as caught:
        booster.rebuild(document)
    with pytest.raises(ArtifactError):
        booster.rebuild(decode(ubjson(document)))
    return caught.value.message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"left_children": [1, -1, 2**31 - 1, -1, -1]}, "no tree"),
        ({"left_children": [1, -1, -7, -1, -1]}, "no tree"),
        ({"left_children": [0, -1, 3, -1, -1]}, "no tree"),  # its own child: scoring would never end
        ({"right_children": [2, -1, 1, -1, -1]}, "no tree"),
        ({"left_children": [1, -1, 2, -1, -1]}, "no tree"),
        ({"right_children": [2, -1, -1, -1, -1]}, "one child"),
        ({"split_indices": [2, 0, 0, 0, 0]}, "beyond"),
        ({"split_indices": [-1, 0, 0, 0, 0]}, "beyond"),
        ({"left_children": [1, -1, 3, -1]}, "whole numbers"),
        ({"split_conditions": [0.5]}, "a number for each"),
        ({"split_conditions": [0.5, float("nan"), 0.0, 0.0, 0.0]}, "not finite"),
        ({"split_type": [1, 0, 0, 0, 0]}, "categories"),
        ({"categories": [1]}, "categories"),
        ({"tree_param": {"num_feature": "2", "num_nodes": "1000000", "size_leaf_vector": "1"}}, "whole numbers"),
        ({"tree_param": {"num_feature": "2", "num_nodes": "-1", "size_leaf_vector": "1"}}, "not a whole number"),
        ({"tree_param": {"num_feature": "9", "num_nodes": "5", "size_leaf_vector": "1"}}, "not within"),
        ({"tree_param": {"num_feature": "2", "num_nodes": "5", "size_leaf_vector": "7"}}, "not within"),
        ({"tree_param": None}, "TypeError"),
    ],
)  # fmt: skip
def test_a_tree_that_cannot_be_walked_is_refused(changes: dict[str, Any], said: str) -> None:
    if any(value is None for value in changes.values()):
        with pytest.raises(ArtifactError, match=said):
            booster.rebuild(forest(tree(**changes)))
        return
    assert said in broken(forest(tree(), tree(**changes)))


def test_a_forest_that_does_not_add_up_is_refused() -> None:
    for path, value in (
        (("gradient_booster", "name"), "dart"),
        (("gradient_booster", "model", "tree_info"), [5]),
        (("gradient_booster", "model", "tree_info"), []),
        (("gradient_booster", "model", "iteration_indptr"), [0, 9]),
        (("gradient_booster", "model", "gbtree_model_param", "num_trees"), "2"),
        (("learner_model_param", "num_feature"), "0"),
        (("learner_model_param", "num_feature"), "99999999999"),
        (("learner_model_param", "num_class"), "1e9"),
        (("feature_names",), ["one"]),
        (("objective",), {}),
        (("gradient_booster", "model", "cats", "enc"), [1]),
    ):
        document = forest()
        place: Any = document["learner"]
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
        broken(document)
    for gone in ("learner", "version"):
        broken({key: part for key, part in forest().items() if key != gone})


def test_numbers_of_universal_binary_json_come_back_as_they_were() -> None:
    document = {"split_conditions": [1.5, -2.0], "parents": [1, -2, 3], "c": {"d": "ü"}, "e": [], "f": 7}
    found = decode(ubjson(document))
    assert found["split_conditions"].tolist() == [1.5, -2.0]
    assert found["parents"].tolist() == [1, -2, 3]
    assert (found["c"], found["e"], found["f"]) == ({"d": "ü"}, [], 7)


@pytest.mark.parametrize(
    "data",
    [
        b"{L" + struct.pack(">q", -1) + b"}",
        b"{L" + struct.pack(">q", 2**62) + b"}",
        b"{U\x01a[$d#L" + struct.pack(">q", 2**61) + b"}",
        b"{U\x01a[#L" + struct.pack(">q", 2**40) + b"}",
        b"{U\x01a[$Z#L" + struct.pack(">q", 2**40) + b"}",
        b"{U\x01aU\x01U\x01aU\x02}",
        b"{U\x01aU\x01}more",
        b"{U\x01\xffU\x01}",
        b"{U\x01aH}",
        b"{d" + struct.pack(">f", 1.0) + b"aU\x01}",
    ],
    ids=["negative", "endless-key", "endless-array", "endless-list", "nothing-forever", "twice", "more", "utf8", "type", "float-length"],
)  # fmt: skip
def test_a_length_that_lies_costs_nothing(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        decode(data)


ROWS = np.array([[0.1, 0.9], [0.9, 0.1], [np.nan, 0.7], [0.2, np.nan]], np.float32)


def test_a_model_written_anew_scores_as_it_did() -> None:
    xgboost = pytest.importorskip("xgboost")
    told, ours = forest(tree(), tree(default_left=[1, 0, 1, 0, 0])), []
    for data in (json.dumps(told).encode(), ubjson(told), booster.rebuild(told)):
        ours.append(xgboost.Booster(model_file=bytearray(data)).inplace_predict(ROWS))
    assert np.array_equal(ours[0], ours[1])
    assert np.array_equal(ours[0], ours[2])


def test_no_mutation_of_a_model_leads_xgboost_astray() -> None:
    # Handed over as they are, some of these end the process. To see it, load `mutated` instead.
    xgboost = pytest.importorskip("xgboost")
    data, rng, n_taken = ubjson(forest()), random.Random(0), 0
    for _ in range(3_000):
        mutated = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            mutated[rng.randrange(len(mutated))] = rng.randrange(256)
        with contextlib.suppress(ArtifactError):
            rebuilt = booster.rebuild(decode(bytes(mutated)))
            xgboost.Booster({"nthread": 1}, model_file=bytearray(rebuilt)).inplace_predict(ROWS, missing=np.nan)
            n_taken += 1
    assert n_taken > 100


def test_a_trained_model_of_many_trees_scores_as_it_did() -> None:
    xgboost = pytest.importorskip("xgboost")
    rng = np.random.default_rng(0)
    x = rng.random((300, 4)).astype(np.float32)
    x[rng.random(x.shape) < 0.1] = np.nan
    for objective in OBJECTIVES:
        classes = 3 if objective == "multi:softprob" else 2
        y = rng.integers(0, classes, 300)
        params = {"objective": objective, "max_depth": 4, "nthread": 1, "gamma": 0.1}
        params |= {"num_class": classes} if classes > 2 else {}
        model = xgboost.train(params, xgboost.DMatrix(x, y, feature_names=list("abcd")), 12)
        for form, document in (
            ("ubj", decode(bytes(model.save_raw("ubj")))),
            ("json", json.loads(model.save_raw("json"))),
        ):
            found = xgboost.Booster(model_file=bytearray(booster.rebuild(document)))
            assert np.array_equal(found.inplace_predict(x), model.inplace_predict(x)), (objective, form)
            assert found.feature_names == model.feature_names
            rows = xgboost.DMatrix(x, feature_names=model.feature_names)
            assert np.allclose(
                found.predict(rows, pred_contribs=True), model.predict(rows, pred_contribs=True), atol=1e-5
            )


# Arrays


def test_arrays_come_back_as_they_were_and_as_the_library_reads_them() -> None:
    arrays = {"w": np.arange(6, dtype=np.float32).reshape(2, 3), "n": np.array([1, 2**40])}
    data = safetensors(**arrays)
    found = tensors.decode(data)
    for name, array in arrays.items():
        assert np.array_equal(found[name], array)
        assert not found[name].flags.writeable
    library = pytest.importorskip("safetensors.numpy")
    assert all(np.array_equal(library.load(data)[name], array) for name, array in found.items())
    assert np.array_equal(tensors.decode(library.save(arrays, {"made": "by"}))["w"], arrays["w"])


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "data",
    [
        (2**63).to_bytes(8, "little") + b"{}",
        framed(b"{" * 1_000),
        framed(b"[]  "),
        framed({"w": ENTRY}, bytes(4)),
        framed({"w": ENTRY}, bytes(12)),
        framed({"w": ENTRY | {"data_offsets": [4, 12]}}, bytes(12)),
        framed({"w": ENTRY, "v": ENTRY}, bytes(8)),
        framed({"w": ENTRY | {"shape": [2**40, 2**40]}}, bytes(8)),
        framed({"w": ENTRY | {"shape": [-2]}}, bytes(8)),
        framed({"w": ENTRY | {"shape": [1] * 9}}, bytes(8)),
        framed({"w": ENTRY | {"dtype": "OBJECT"}}, bytes(8)),
        framed({"w": ENTRY | {"data_offsets": [8, 0]}}, bytes(8)),
        framed({"w": ENTRY | {"more": 1}}, bytes(8)),
        framed({"w": 7}, bytes(8)),
    ],
)
def test_an_array_that_lies_outside_of_its_file_is_refused(data: bytes) -> None:
    with pytest.raises(ArtifactError):
        tensors.decode(data)


# Tables


def test_a_table_comes_back_as_it_was() -> None:
    table = pa.table({"arm": ["a", None], "weight": [0.5, -1.0], "on": [True, False]})
    assert tables.decode(arrow(table)) == table


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_a_compressed_table_is_refused_as_it_may_claim_any_amount_of_memory(codec: str) -> None:
    data = arrow(pa.table({"a": np.zeros(1_000_000)}), compression=codec)
    assert code_of("t.arrow", data) == "broken_model"


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1], [2]]),
        pa.array([{"a": 1}, {"a": 2}]),
        pa.array(["a", "a"]).dictionary_encode(),
        pa.array([b"a", b"b"]),
        pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"0" * 16, b"1" * 16], pa.binary(16))),
    ],
    ids=["list", "struct", "dictionary", "binary", "extension"],
)
def test_a_column_of_another_type_is_refused(column: pa.Array) -> None:
    assert code_of("t.arrow", arrow(pa.table({"a": column}))) == "broken_model"


def test_a_text_column_whose_offsets_lead_outside_is_refused() -> None:
    data = arrow(pa.table({"a": ["ab"]}))
    check("t.arrow", data)
    at = data.index(np.array([0, 2], np.int32).tobytes(), data.index(b"ab\0\0\0\0\0\0") - 128)
    lying = data[: at + 4] + (2**30).to_bytes(4, "little") + data[at + 8 :]
    assert code_of("t.arrow", lying) == "broken_model"


def test_a_table_with_any_byte_changed_is_read_or_refused() -> None:
    data = arrow(pa.table({"a": [1, 2, 3], "b": ["x", "yy", None]}))
    for at in range(8, len(data) - 6):
        for byte in (0, 0x7F, 0xFF):
            with contextlib.suppress(ArtifactError):
                tables.decode(data[:at] + bytes([byte]) + data[at + 1 :])
