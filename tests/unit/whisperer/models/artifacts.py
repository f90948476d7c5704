"""Artifacts for tests: a small forest as XGBoost writes it, and a folder that holds one file of each format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from whisperer.models.artifact import MANIFEST, DataRange, Manifest, encode, manifest_of
from whisperer.models.ubjson import encode as encode_ubjson

CALIBRATION = {"slope": 1.5, "intercept": -0.25}
_TYPES = {
    **dict.fromkeys(("base_weights", "loss_changes", "split_conditions", "sum_hessian"), ">f4"),
    **dict.fromkeys(("left_children", "right_children", "parents", "split_indices"), ">i4"),
    **dict.fromkeys(("categories", "categories_nodes", "feature_segments", "sorted_idx"), ">i4"),
    **dict.fromkeys(("categories_segments", "categories_sizes"), ">i8"),
    **dict.fromkeys(("default_left", "split_type"), ">u1"),
}


def tree(**changes: Any) -> dict[str, Any]:
    """A root on feature 1, a leaf, and a split on feature 0 with two leaves."""
    n = 5
    return {
        "base_weights": [0.0, -0.5, 0.25, 0.0, 0.5],
        "categories": [],
        "categories_nodes": [],
        "categories_segments": [],
        "categories_sizes": [],
        "default_left": [0] * n,
        "id": 0,
        "left_children": [1, -1, 3, -1, -1],
        "right_children": [2, -1, 4, -1, -1],
        "loss_changes": [2.0, 0.0, 1.0, 0.0, 0.0],
        "parents": [2147483647, 0, 0, 2, 2],
        "split_conditions": [0.5, -0.5, 0.25, 0.125, 0.5],
        "split_indices": [1, 0, 0, 0, 0],
        "split_type": [0] * n,
        "sum_hessian": [4.0, 2.0, 2.0, 1.0, 1.0],
        "tree_param": {"num_deleted": "0", "num_feature": "2", "num_nodes": str(n), "size_leaf_vector": "1"},
        **changes,
    }


def forest(*trees: dict[str, Any], **params: str) -> dict[str, Any]:
    """A model of two features."""
    grown = list(trees or (tree(),))
    return {
        "version": [3, 2, 0],
        "learner": {
            "attributes": {},
            "feature_names": ["recency_days", "events_30d"],
            "feature_types": ["float", "float"],
            "gradient_booster": {
                "name": "gbtree",
                "model": {
                    "cats": {"enc": [], "feature_segments": [], "sorted_idx": []},
                    "gbtree_model_param": {"num_parallel_tree": "1", "num_trees": str(len(grown))},
                    "iteration_indptr": list(range(len(grown) + 1)),
                    "tree_info": [0] * len(grown),
                    "trees": [{**one, "id": id} for id, one in enumerate(grown)],
                },
            },
            "learner_model_param": {
                "base_score": "[5E-1]",
                "boost_from_average": "1",
                "num_class": "0",
                "num_feature": "2",
                "num_target": "1",
                **params,
            },
            "objective": {"name": "binary:logistic", "reg_loss_param": {"scale_pos_weight": "1"}},
        },
    }


def ubjson(value: Any) -> bytes:
    """As XGBoost writes it: arrays of a tree in one type each, by their name."""
    return encode_ubjson(_typed(value))


def _typed(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _typed(part, name) for name, part in value.items()}
    if isinstance(value, list):
        return np.array(value, _TYPES[key]) if key in _TYPES else [_typed(part) for part in value]
    return value


def safetensors(**arrays: np.ndarray) -> bytes:
    header, body = {}, b""
    for name, array in arrays.items():
        kind = {"f4": "F32", "f8": "F64", "i8": "I64"}[f"{array.dtype.kind}{array.dtype.itemsize}"]
        at = len(body)
        body += array.tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, len(body)]}
    return framed(header, body)


def framed(header: Any, body: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def arrow(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()


def files() -> dict[str, bytes]:
    return {
        "model.ubj": ubjson(forest()),
        "model.json": json.dumps(forest()).encode(),
        "calibration.json": json.dumps(CALIBRATION).encode(),
        "nets/gru.safetensors": safetensors(w=np.arange(6, dtype=np.float32).reshape(2, 3), b=np.zeros(3)),
        "ridge.arrow": arrow(pa.table({"arm": ["a", "b"], "weight": [0.5, -1.0], "n": [3, 4]})),
    }


def write(folder: Path, contents: dict[str, bytes] | None = None) -> Path:
    for path, content in (files() if contents is None else contents).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def manifest(folder: Path, name: str = "offers", version: int = 1, **more: Any) -> Manifest:
    told: dict[str, Any] = {
        "kind": "uplift",
        "created_at": 1_700_000_000_000,
        "data": DataRange(1_690_000_000_000, 1_699_000_000_000, 120_000),
        "code_version": "0.1.0+abc",
        "features": ["recency_days", "events_30d"],
        "feature_registry": "f00",
        "parameters": {"max_depth": 3},
        "metrics": {"value": 13.9},
        **more,
    }
    return manifest_of(folder, name=name, version=version, **told)


def artifact(folder: Path, name: str = "offers", version: int = 1, contents: dict[str, bytes] | None = None) -> Path:
    """A folder with its manifest, as a trainer leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, contents)
    (folder / MANIFEST).write_bytes(encode(manifest(folder, name, version)))
    return folder
