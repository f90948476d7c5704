"""Check files against the closed set that an artifact may hold, each known by its extension and by its own bytes.

    .ubj, .json    an XGBoost model (:mod:`.booster`); .json also any other JSON object
    .safetensors   named arrays (:mod:`.tensors`)
    .arrow         a table (:mod:`.tables`)

Everything else is refused, whatever its name: pickles, zip files (what ``torch.save`` writes), numpy's ``.npy``. None
of these formats can name code. Guarantees: in a file that passed, every length and index is within bounds. Leaves to
others: whether it is the file that was registered (:mod:`.artifact`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Any

import msgspec

from whisperer.models import booster, tables, tensors, ubjson
from whisperer.models.errors import ArtifactError

MAX_JSON_BYTES = 64 << 20


def check(path: str, data: bytes) -> None:
    """Check a file's format.

    Raises ArtifactError (`unknown_format`, `wrong_magic`, `too_large`, `broken_model`), which names the file.
    """
    extension = PurePosixPath(path).suffix
    if extension not in _FORMATS:
        known = ", ".join(_FORMATS)
        raise ArtifactError(f"{path[:200]!r} is none of {known}; nothing else is loaded", code="unknown_format")
    magic, read = _FORMATS[extension]
    if not data.startswith(magic):
        raise ArtifactError(f"{path} does not begin as a {extension} file does", code="wrong_magic")
    try:
        read(data)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error.message}", code=error.code) from None


def read_json(data: bytes) -> dict[str, Any]:
    """Parse a JSON object. Raises ArtifactError."""
    if len(data) > MAX_JSON_BYTES:
        raise ArtifactError(f"JSON over {MAX_JSON_BYTES >> 20} MiB; save the model as .ubj", code="too_large")
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ArtifactError(f"not JSON: {error}", code="broken_model") from None
    if not isinstance(found, dict):
        raise ArtifactError("not a JSON object", code="broken_model")
    return found


def is_booster(document: dict[str, Any]) -> bool:
    """Return whether a JSON document is an XGBoost model."""
    return "learner" in document


def _check_json(data: bytes) -> None:
    document = read_json(data)
    if is_booster(document):
        booster.rebuild(document)


def _check_ubjson(data: bytes) -> None:
    booster.rebuild(ubjson.decode(data))


_FORMATS: dict[str, tuple[bytes, Callable[[bytes], object]]] = {
    ".ubj": (b"{", _check_ubjson),
    ".json": (b"{", _check_json),
    ".safetensors": (b"", tensors.decode),  # begins with a length; its header is checked whole
    ".arrow": (b"ARROW1\x00\x00", tables.decode),
}
