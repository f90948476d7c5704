"""Define an artifact: a folder of files, and a manifest with each file's size and hash and the model's origin.

Guarantees: :func:`read_file` returns a listed, regular file of the folder itself, and hashes and checks the very bytes
it returns, so nothing can change in between. A manifest's :func:`digest` stands for the whole artifact. Leaves to
others: where artifacts are kept (:mod:`.store`), what becomes of the bytes (:mod:`.loading`).
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec

from whisperer.models import formats
from whisperer.models.errors import ArtifactError

MANIFEST = "manifest.json"
TEST_ROWS = "test.arrow"
"""Features of past users, for the gate. It ages out of stores, because erased users may be among them: an artifact is
complete without it."""
MAX_FILE_BYTES = 256 << 20
MAX_FILES = 64
MAX_MANIFEST_BYTES = 1 << 20
MAX_VERSION = 2**31 - 1
NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$"

_PATH = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}(/[A-Za-z0-9][A-Za-z0-9_.-]{0,99}){0,3}")
"""No part begins with a dot, so none is `.` or `..`; no backslash, no drive, no control character."""

_Word = Annotated[str, msgspec.Meta(max_length=200)]
_Hash = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]
_Ms = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class ArtifactFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file; ``blake2b`` is 256 bits, as hexadecimal digits."""

    path: Annotated[str, msgspec.Meta(max_length=404)]
    size_bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_FILE_BYTES)]
    blake2b: _Hash


class DataRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a version was trained on: rows whose time is in [first, last), ms UTC."""

    first: _Ms
    last: _Ms
    n_rows: Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Describe a version and its lineage.

    Attributes
    ----------
    kind : what the files are for, such as ``uplift`` or ``churn``; the code that scores with it understands it
    created_at : ms UTC
    code_version : of the code that trained it
    features : input columns in the model's order
    feature_registry : hash of their definitions
    parameters, metrics : as trained, and as measured on rows it was not trained on
    """

    name: Annotated[str, msgspec.Meta(pattern=NAME)]
    version: Annotated[int, msgspec.Meta(ge=1, le=MAX_VERSION)]
    kind: Annotated[str, msgspec.Meta(pattern=NAME)]
    created_at: _Ms
    data: DataRange
    code_version: _Word
    features: Annotated[list[_Word], msgspec.Meta(max_length=10_000)]
    feature_registry: _Word
    parameters: dict[str, Any]
    metrics: dict[str, float]
    files: Annotated[list[ArtifactFile], msgspec.Meta(min_length=1, max_length=MAX_FILES)]


def manifest_of(
    folder: Path,
    *,
    name: str,
    version: int,
    kind: str,
    created_at: int,
    data: DataRange,
    code_version: str,
    features: Iterable[str],
    feature_registry: str,
    parameters: Mapping[str, Any] | None = None,
    metrics: Mapping[str, float] | None = None,
) -> Manifest:
    """Make the manifest of a folder that a trainer wrote. Raises ArtifactError for what could not be loaded again."""
    files = []
    for path in _paths(folder):
        content = _read(folder, path)
        formats.check(path, content)
        files.append(ArtifactFile(path, len(content), _hash(content)))
    made = Manifest(
        name,
        version,
        kind,
        created_at,
        data,
        code_version,
        list(features),
        feature_registry,
        dict(parameters or {}),
        dict(metrics or {}),
        files,
    )
    return decode(encode(made))


def encode(manifest: Manifest) -> bytes:
    """Serialise to JSON, the same bytes for the same manifest."""
    return msgspec.json.format(msgspec.json.encode(manifest, order="sorted"), indent=1)


def decode(data: bytes) -> Manifest:
    """Read a manifest. Raises ArtifactError (`invalid_manifest`, `unsafe_path`)."""
    if len(data) > MAX_MANIFEST_BYTES:
        raise ArtifactError(f"a manifest over {MAX_MANIFEST_BYTES >> 20} MiB", code="invalid_manifest")
    try:
        found = msgspec.json.decode(data, type=Manifest)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise ArtifactError(f"the manifest: {error}", code="invalid_manifest") from None
    paths = [file.path for file in found.files]
    for path in paths:
        if not _PATH.fullmatch(path) or path == MANIFEST:
            raise ArtifactError(f"the manifest names the path {path[:100]!r}", code="unsafe_path")
    if len(set(paths)) != len(paths) or found.data.first > found.data.last:
        raise ArtifactError("the manifest: a file twice, or data that end before they begin", code="invalid_manifest")
    return found


def digest(manifest: Manifest) -> str:
    """Return 64 hexadecimal digits that stand for the artifact: they change with any byte of it."""
    return _hash(encode(manifest))


def verify(folder: Path, manifest: Manifest) -> None:
    """Check that the folder holds exactly the manifest's files, all of them sound. Raises ArtifactError.

    Test rows may have aged out.
    """
    listed, there = {file.path for file in manifest.files}, _paths(folder)
    for path in there:
        if path not in listed:
            raise ArtifactError(f"{path[:200]!r} is not in the manifest", code="unlisted_file")
    for file in manifest.files:
        if file.path != TEST_ROWS or TEST_ROWS in there:
            read_file(folder, file)


def read_file(folder: Path, file: ArtifactFile) -> bytes:
    """Return a file's bytes, verified to be the manifest's and of a format we load. Raises ArtifactError."""
    content = _read(folder, file.path, file.size_bytes)
    check_content(file, content)
    return content


def check_content(file: ArtifactFile, content: bytes) -> None:
    """Check a file's bytes. Raises ArtifactError (`wrong_size`, `wrong_hash`, and those of :func:`.formats.check`)."""
    if len(content) != file.size_bytes:
        message = f"{file.path} has {len(content)} bytes, not {file.size_bytes}"
        raise ArtifactError(message, code="wrong_size")
    if _hash(content) != file.blake2b:
        raise ArtifactError(f"{file.path} is not the file that the manifest names", code="wrong_hash")
    formats.check(file.path, content)


def _paths(folder: Path) -> list[str]:
    """List all regular files except the manifest, sorted. Raises ArtifactError (`unsafe_path`) for anything else."""
    found = []
    for place, folders, names in os.walk(folder, followlinks=False):
        for name in (*folders, *names):
            path = Path(place) / name
            relative = path.relative_to(folder).as_posix()
            mode = path.lstat().st_mode
            if not _PATH.fullmatch(relative) or not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                raise ArtifactError(f"{relative[:200]!r} is a link, a device or oddly named", code="unsafe_path")
            if stat.S_ISREG(mode) and relative != MANIFEST:
                found.append(relative)
    if len(found) > MAX_FILES:
        raise ArtifactError(f"over {MAX_FILES} files", code="too_large")
    return sorted(found)


def _read(folder: Path, path: str, most: int = MAX_FILE_BYTES) -> bytes:
    """Read a file below ``folder``, through no symbolic link, and at most one byte more than ``most``."""
    if not _PATH.fullmatch(path):
        raise ArtifactError(f"the path {path[:100]!r} leads elsewhere", code="unsafe_path")
    *folders, name = path.split("/")
    at = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for part in folders:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=at)
            os.close(at)
            at = below
        # Not blocking: a pipe in place of a file would keep us waiting for its writer.
        file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=at)
    except FileNotFoundError:
        raise ArtifactError(f"{path} is not there", code="missing_file") from None
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read as a file: {error.strerror}", code="unsafe_path") from None
    finally:
        os.close(at)
    with os.fdopen(file, "rb") as stream:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise ArtifactError(f"{path} is no regular file", code="unsafe_path")
        if found.st_size > MAX_FILE_BYTES:
            raise ArtifactError(f"{path} is over {MAX_FILE_BYTES >> 20} MiB", code="too_large")
        return stream.read(most + 1)


def _hash(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=32).hexdigest()
