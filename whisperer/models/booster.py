"""Take an XGBoost model apart, check it, and write it anew: the library is given nothing that a stranger wrote.

XGBoost trusts its files: a child index beyond the nodes, a node that is its own ancestor, a feature that the rows lack
or a value of the wrong type makes it read foreign memory, or never end, at loading or in the middle of scoring. Here
each field that scoring needs is read, checked and copied with its own type; unknown fields are dropped. Accepted are
numeric trees (``gbtree``, scalar leaves, no categories) and the objectives below: all that we train.

References
----------
XGBoost, "Introduction to Model IO" and `doc/model.schema` (3.x).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from whisperer.models import ubjson
from whisperer.models.errors import ArtifactError

MAX_FEATURES = 100_000
MAX_TREES = 100_000
MAX_NODES = 1 << 24
MAX_CLASSES = 1_000

_REGRESSION = {"reg_loss_param": {"scale_pos_weight": "1"}}
OBJECTIVES: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("reg:squarederror", "reg:logistic", "binary:logistic", "binary:logitraw"), _REGRESSION),
    "count:poisson": {"poisson_regression_param": {"max_delta_step": "0.7"}},
    "reg:tweedie": {"tweedie_regression_param": {"tweedie_variance_power": "1.5"}},
    "multi:softprob": {},
}
"""With the training parameters that XGBoost requires to be there, although scoring ignores them."""

_WHOLE, _SMALL, _REAL, _LONG = np.dtype(">i4"), np.dtype(">u1"), np.dtype(">f4"), np.dtype(">i8")


def rebuild(document: dict[str, Any]) -> bytes:
    """Return the same model as UBJSON written by us. Raises ArtifactError (`broken_model`).

    Parameters
    ----------
    document : the decoded JSON or UBJSON of ``Booster.save_model``
    """
    try:
        return ubjson.encode({"version": _version(document["version"]), "learner": _learner(document["learner"])})
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, IndexError) as error:
        raise _broken(f"{type(error).__name__}: {str(error)[:200]}") from None


def _version(told: Any) -> list[int]:
    major, minor, patch = (int(part) for part in told)
    if not (1 <= major <= 3 and 0 <= minor < 100 and 0 <= patch < 100):
        raise _broken("written by an unknown version")
    return [major, minor, patch]


def _learner(learner: dict[str, Any]) -> dict[str, Any]:
    params = learner["learner_model_param"]
    n_features = _whole(params, "num_feature", 1, MAX_FEATURES)
    n_classes = _whole(params, "num_class", 0, MAX_CLASSES)
    _whole(params, "num_target", 1, 1, default=1)
    objective = learner["objective"]["name"]
    if objective not in OBJECTIVES or (objective == "multi:softprob") != (n_classes > 1):
        raise _broken(f"the objective {str(objective)[:40]!r} with {n_classes} classes")
    of_classes = {"softmax_multiclass_param": {"num_class": str(n_classes)}} if n_classes > 1 else {}
    booster = learner["gradient_booster"]
    if booster["name"] != "gbtree":
        raise _broken(f"a booster of trees is needed, not {str(booster['name'])[:40]!r}")
    return {
        "attributes": {},
        "feature_names": _names(learner.get("feature_names", []), n_features),
        "feature_types": _types(learner.get("feature_types", []), n_features),
        "gradient_booster": {"name": "gbtree", "model": _model(booster["model"], n_features, n_classes)},
        "learner_model_param": {
            "base_score": _base_score(params["base_score"], n_classes),
            "boost_from_average": "1",
            "num_class": str(n_classes),
            "num_feature": str(n_features),
            "num_target": "1",
        },
        "objective": {"name": objective, **OBJECTIVES[objective], **of_classes},
    }


def _model(model: dict[str, Any], n_features: int, n_classes: int) -> dict[str, Any]:
    if any(map(len, model.get("cats", {}).values())):
        raise _broken("categories are not supported")
    trees, counted, n_groups = model["trees"], model["gbtree_model_param"], max(1, n_classes)
    n_trees = _whole(counted, "num_trees", 0, MAX_TREES)
    n_parallel = _whole(counted, "num_parallel_tree", 0, MAX_TREES, default=1)
    groups = _ints(model["tree_info"], n_trees)
    if len(trees) != n_trees or ((groups < 0) | (groups >= n_groups)).any():
        raise _broken(f"{len(trees)} trees where {n_trees} are announced, or one of a class that there is not")
    per_round = n_groups * max(1, n_parallel)
    steps = model.get("iteration_indptr")
    bounds = _ints(np.arange(0, n_trees + 1, per_round) if steps is None else steps, n_trees // per_round + 1)
    if (bounds != np.arange(len(bounds)) * per_round).any() or bounds[-1] != n_trees:
        raise _broken("rounds that do not add up to the trees")
    return {
        "cats": {"enc": [], "feature_segments": _none(_WHOLE), "sorted_idx": _none(_WHOLE)},
        "gbtree_model_param": {"num_parallel_tree": str(max(1, n_parallel)), "num_trees": str(n_trees)},
        "iteration_indptr": bounds.tolist(),
        "tree_info": groups.tolist(),
        "trees": [_tree(tree, n_features) | {"id": id} for id, tree in enumerate(trees)],
    }


def _tree(tree: dict[str, Any], n_features: int) -> dict[str, Any]:
    params = tree["tree_param"]
    n = _whole(params, "num_nodes", 1, MAX_NODES)
    _whole(params, "num_feature", n_features, n_features)
    _whole(params, "size_leaf_vector", 0, 1, default=1)
    left, right = _ints(tree["left_children"], n), _ints(tree["right_children"], n)
    features = _ints(tree["split_indices"], n)
    if _ints(tree.get("split_type", np.zeros(n, np.uint8)), n).any() or len(tree.get("categories", ())):
        raise _broken("categories are not supported")
    inner = left != -1
    if ((right != -1) != inner).any():
        raise _broken("a node with one child")
    children = np.concatenate([left[inner], right[inner]])
    # No node has two parents, and the root has none: so no path from the root comes back to where it was.
    if len(children) and (children.min() < 1 or children.max() >= n or len(np.unique(children)) != len(children)):
        raise _broken("children that make no tree")
    if ((features < 0) | (features >= n_features))[inner].any():
        raise _broken(f"a split on a feature beyond {n_features}")
    parents = np.full(n, 2**31 - 1)
    parents[children] = np.tile(np.flatnonzero(inner), 2)
    return {
        **{name: _reals(tree[name], n) for name in ("base_weights", "loss_changes", "split_conditions", "sum_hessian")},
        "categories": _none(_WHOLE),
        "categories_nodes": _none(_WHOLE),
        "categories_segments": _none(_LONG),
        "categories_sizes": _none(_LONG),
        "default_left": (_ints(tree["default_left"], n) != 0).astype(_SMALL),
        "left_children": left.astype(_WHOLE),
        "right_children": right.astype(_WHOLE),
        "parents": parents.astype(_WHOLE),
        "split_indices": np.where(inner, features, 0).astype(_WHOLE),
        "split_type": np.zeros(n, _SMALL),
        "tree_param": {
            "num_deleted": str(n - 1 - len(children)),
            "num_feature": str(n_features),
            "num_nodes": str(n),
            "size_leaf_vector": "1",
        },
    }


def _names(told: Any, n_features: int) -> list[str]:
    if len(told) not in (0, n_features) or not all(isinstance(one, str) and 0 < len(one) <= 200 for one in told):
        raise _broken(f"names for {len(told)} of {n_features} features")
    return list(told)


def _types(told: Any, n_features: int) -> list[str]:
    if len(told) not in (0, n_features) or not all(one in ("float", "int", "i", "q") for one in told):
        raise _broken("a feature that is no number")
    return list(told)


def _base_score(told: str, n_classes: int) -> str:
    """Return the base score: a number or, from version 3.1, one per class in brackets; a probability, not its logit."""
    numbers = [float(part) for part in told.removeprefix("[").removesuffix("]").split(",")]
    if len(numbers) not in (1, n_classes) or not all(map(math.isfinite, numbers)):
        raise _broken("no base score")
    text = ",".join(f"{number:.9E}" for number in numbers)
    return f"[{text}]" if told.startswith("[") else text


def _none(dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.empty(0, dtype)


def _reals(values: Any, n: int) -> NDArray[Any]:
    found = np.asarray(values)
    if found.shape != (n,) or found.dtype.kind not in "iuf":
        raise _broken(f"a number for each of {n} nodes is needed")
    made = found.astype(_REAL)
    if not np.isfinite(made).all():
        raise _broken("a number that is not finite")
    return made


def _ints(values: Any, n: int) -> NDArray[np.int64]:
    found = np.asarray(values)
    if found.shape != (n,) or (n and found.dtype.kind not in "iub"):
        raise _broken(f"{n} whole numbers are needed")
    return found.astype(np.int64)


def _whole(params: dict[str, Any], name: str, low: int, high: int, default: int | None = None) -> int:
    """Parse a whole number that XGBoost wrote as text."""
    told = params[name] if default is None else params.get(name, str(default))
    if not isinstance(told, str) or not told.isascii() or not told.isdigit() or len(told) > 12:
        raise _broken(f"{name} is not a whole number")
    if not low <= int(told) <= high:
        raise _broken(f"{name} is {told}, not within {low} and {high}")
    return int(told)


def _broken(why: str) -> ArtifactError:
    return ArtifactError(f"not an XGBoost model that can be used: {why}", code="broken_model")
