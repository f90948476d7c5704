"""Turn an artifact's files into what scores: boosters, arrays, tables, documents. Nothing unverified is parsed.

Each call reads the file, checks hash and format, and parses those very bytes. XGBoost is given models written anew
(:mod:`.booster`), and is imported when the first is requested: processes that load none need not have it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from numpy.typing import NDArray

from whisperer.errors import UnavailableError
from whisperer.models import artifact, booster, formats, tables, tensors, ubjson
from whisperer.models.artifact import Manifest
from whisperer.models.errors import ArtifactError

if TYPE_CHECKING:
    import xgboost


@dataclass(frozen=True, slots=True)
class Artifact:
    """Read files of a verified artifact. Every method that takes a path raises ArtifactError, ``missing_file`` for a
    path that is not in the manifest."""

    folder: Path
    manifest: Manifest

    def paths(self) -> list[str]:
        """Paths of all files in the manifest."""
        return [file.path for file in self.manifest.files]

    def booster(self, path: str) -> xgboost.Booster:
        """Load an XGBoost model with one thread: replicas share cores. Raises UnavailableError without xgboost."""
        data = self._read(path, ".ubj", ".json")
        document = ubjson.decode(data) if path.endswith(".ubj") else formats.read_json(data)
        rebuilt = booster.rebuild(document)
        try:
            from xgboost import Booster
            from xgboost.core import XGBoostError
        except ImportError as error:
            raise UnavailableError("this process has no xgboost: install the extra `training`") from error
        try:
            return Booster({"nthread": 1}, model_file=bytearray(rebuilt))
        except XGBoostError as error:
            reason = str(error).strip().splitlines()[0][:200]
            raise ArtifactError(f"XGBoost does not take {path}: {reason}", code="broken_model") from None

    def tensors(self, path: str) -> dict[str, NDArray[Any]]:
        """Load named arrays, read-only."""
        return tensors.decode(self._read(path, ".safetensors"))

    def table(self, path: str) -> pa.Table:
        """Load an Arrow table."""
        return tables.decode(self._read(path, ".arrow"))

    def document(self, path: str) -> dict[str, Any]:
        """Load a JSON object."""
        return formats.read_json(self._read(path, ".json"))

    def _read(self, path: str, *extensions: str) -> bytes:
        file = next((file for file in self.manifest.files if file.path == path), None)
        if file is None:
            raise ArtifactError(f"the artifact has no {path[:200]!r}", code="missing_file")
        if not path.endswith(extensions):
            raise ArtifactError(f"{path} is no {' or '.join(extensions)}", code="unknown_format")
        return artifact.read_file(self.folder, file)


def load(folder: Path, digest: str | None = None) -> Artifact:
    """Return a folder's artifact, fully verified; with ``digest``, only if it is that one. Raises ArtifactError."""
    try:
        with (folder / artifact.MANIFEST).open("rb") as file:
            manifest = artifact.decode(file.read(artifact.MAX_MANIFEST_BYTES + 1))
    except OSError as error:
        raise ArtifactError(f"there is no readable manifest in {folder.name!r}", code="missing_file") from error
    if digest is not None and artifact.digest(manifest) != digest:
        raise ArtifactError(f"{manifest.name} {manifest.version} is not the one registered", code="wrong_hash")
    artifact.verify(folder, manifest)
    return Artifact(folder, manifest)
