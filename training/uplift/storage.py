"""Store a fitted uplift model as a folder: `uplift.json`, and a UBJ file per booster.

Guarantees: a loaded model predicts like the saved one, to the last bit; nothing in the folder is ever run, and forms
are a closed list; a folder that does not hold such a model is refused with the reason. XGBoost trusts its files and
ends the process if they are damaged: it is only given bytes whose digest is the manifest's. Leaves to others: whom to
trust (a stranger's boosters are read by `whisperer.models`, see ``booster``), versions, where folders are kept.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xgboost as xgb

from whisperer.models.effects import DOCUMENT, FORM, BadModelError, ByArm, Effects, Levels, Mix, Shared, read
from whisperer.models.regressions import Forest, Line, Regression

LARGEST_BYTES = 64 << 20
"""Limit for any one file."""


def save(model: Effects, folder: Path) -> None:
    """Write ``model`` into ``folder``, which is created; the manifest comes last.

    Raises
    ------
    TypeError
        For a model of another kind.
    """
    folder.mkdir(parents=True, exist_ok=True)
    boosters: list[xgb.Booster] = []
    held = _effects_out(model, boosters)
    raw = [bytes(booster.save_raw("ubj")) for booster in boosters]
    for number, data in enumerate(raw):
        (folder / f"{number}.ubj").write_bytes(data)
    manifest = {"form": FORM, "digests": [_digest(data) for data in raw], "model": held}
    (folder / DOCUMENT).write_text(json.dumps(manifest))


def load(folder: Path, booster: Callable[[str], xgb.Booster] | None = None) -> Effects:
    """Read what :func:`save` wrote.

    Parameters
    ----------
    booster : reads a booster by file name, verified (``whisperer.models.loading.Artifact.booster``); without it the
        folder must be ours, and digests guard only against damage

    Raises
    ------
    BadModelError
    """
    try:
        held = json.loads(_bytes(folder / DOCUMENT))
        if held["form"] != FORM:
            raise BadModelError(f"form {held['form']!r}; this release reads {FORM}")
        names = [(f"{number}.ubj", str(digest)) for number, digest in enumerate(held["digests"])]
        boosters = [booster(name) if booster else _booster(folder / name, digest) for name, digest in names]
        return read(held["model"], boosters)
    except BadModelError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, xgb.core.XGBoostError) as error:
        raise BadModelError(f"{folder.name}: {type(error).__name__}: {error}") from error


def _effects_out(model: Effects, boosters: list[xgb.Booster]) -> dict[str, Any]:
    match model:
        case Mix():
            members = [_effects_out(member, boosters) for member in model.members]
            return {"is": "mix", "weights": list(model.weights), "members": members}
        case Levels():
            return {"is": "levels", "level": model.level.tolist()}
        case Shared():
            held = _regression_out(model.regression, boosters)
            return {"is": "shared", "regression": held, "arm_features": model.arm_features.tolist()}
        case ByArm():
            terms = [[[weight, _regression_out(r, boosters)] for weight, r in arm] for arm in model.terms]
            return {"is": "by_arm", "terms": terms}
    raise TypeError(f"{type(model).__name__} cannot be saved")


def _regression_out(model: Regression, boosters: list[xgb.Booster]) -> dict[str, Any]:
    match model:
        case Line():
            arrays = {name: getattr(model, name).tolist() for name in ("centre", "scale", "slope")}
            return {"is": "line", "level": model.level, "is_logistic": model.is_logistic, **arrays}
        case Forest():
            boosters.append(model.booster)
            return {"is": "forest", "file": len(boosters) - 1}
    raise TypeError(f"{type(model).__name__} cannot be saved")


def _booster(path: Path, digest: str) -> xgb.Booster:
    data = _bytes(path)
    if _digest(data) != digest:
        raise BadModelError(f"{path.name} is not what was saved")
    booster = xgb.Booster({"nthread": 1})
    booster.load_model(bytearray(data))
    return booster


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=32).hexdigest()


def _bytes(path: Path) -> bytes:
    if path.is_symlink() or not path.is_file():
        raise BadModelError(f"{path.name} is missing or not a plain file")
    if path.stat().st_size > LARGEST_BYTES:
        raise BadModelError(f"{path.name} is larger than {LARGEST_BYTES} bytes")
    return path.read_bytes()
