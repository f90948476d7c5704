"""Store artifacts at any :mod:`pyarrow.fs` URI, a local folder among them.

    <uri>/<tenant>/files/<blake2b>                    contents, each under its own hash
    <uri>/<tenant>/manifests/<name>/<version>.json    written last: without it a version does not exist

Guarantees: a version is visible as a whole or not at all, and never changes: two writers under one hash write the same
bytes, and a manifest is written once. (On an object store, two writers of one version in the same instant may both see
it free; the registered digest then decides which is meant, and the other is refused.) Nothing is returned before its
bytes are verified. Test rows age out (:meth:`ArtifactStore.expire`), nothing else does. A fetched folder is kept, by
digest, and verified again at every load. Leaves to others: which version is in use (:mod:`.rollout`).
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.fs as pafs

from whisperer.errors import ConflictError, NotFoundError, RequestError, UnavailableError
from whisperer.ids import TenantId
from whisperer.models import artifact
from whisperer.models.artifact import MANIFEST, MAX_MANIFEST_BYTES, NAME, Manifest
from whisperer.models.errors import ArtifactError
from whisperer.models.loading import Artifact, load

_NAME = re.compile(NAME)
_PARTIAL = ".partial"
_WITHOUT_FOLDERS = {"s3", "gcs", "abfs"}


class ArtifactStore:
    """Put and fetch artifacts. Every method raises UnavailableError while the store does not answer.

    Parameters
    ----------
    uri : any ``pyarrow.fs`` URI or a path
    cache : local folder for what was fetched; may be deleted at any time, and shared by processes
    """

    def __init__(self, uri: str | os.PathLike[str], cache: Path) -> None:
        text = os.fspath(uri)
        self._filesystem, self._root = pafs.FileSystem.from_uri(
            text if urlsplit(text).scheme else Path(text).absolute().as_uri()
        )
        self._is_local = isinstance(self._filesystem, pafs.LocalFileSystem)
        self._cache = cache

    def put(self, tenant: TenantId, folder: Path, manifest: Manifest) -> str:
        """Store a folder as the version its manifest names; return its digest. Storing the same artifact again changes
        nothing.

        Raises ArtifactError, and ConflictError (`version_exists`) if the version is another artifact.
        """
        place, digest = self._manifest_path(tenant, manifest.name, manifest.version), artifact.digest(manifest)
        artifact.verify(folder, manifest)
        if self._held(place) in (None, digest):
            for file in manifest.files:
                content = artifact.read_file(folder, file)
                self._write(self._file_path(tenant, file.blake2b), content)
            self._write(place, artifact.encode(manifest))
        if self._held(place) != digest:
            message = f"{manifest.name} {manifest.version} is there already, and another; take the next version"
            raise ConflictError(message, code="version_exists")
        return digest

    def manifest(self, tenant: TenantId, name: str, version: int) -> Manifest:
        """Return a version's manifest. Raises NotFoundError (`artifact_not_found`), ArtifactError."""
        found = self._read(self._manifest_path(tenant, name, version), MAX_MANIFEST_BYTES)
        if found is None:
            raise NotFoundError(f"the store has no {name[:80]!r} {version}", code="artifact_not_found")
        manifest = artifact.decode(found)
        if (manifest.name, manifest.version) != (name, version):
            raise ArtifactError(f"the manifest at {name} {version} is of another version", code="invalid_manifest")
        return manifest

    def versions(self, tenant: TenantId, name: str) -> list[int]:
        """List the complete versions, oldest first."""
        folder = self._manifest_path(tenant, name, 1).rpartition("/")[0]
        try:
            found = self._filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        except OSError as error:
            raise _away(error) from error
        stems = [info.base_name.removesuffix(".json") for info in found if info.base_name.endswith(".json")]
        return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit())

    def next_version(self, tenant: TenantId, name: str) -> int:
        """Return the number after the newest complete version."""
        return max(self.versions(tenant, name), default=0) + 1

    def fetch(self, tenant: TenantId, name: str, version: int, digest: str | None = None) -> Artifact:
        """Return a version, complete and verified, in a local folder. Raises NotFoundError, ArtifactError.

        ``digest`` is the registered one; any other is refused (`wrong_hash`).
        """
        if digest is None:
            digest = artifact.digest(self.manifest(tenant, name, version))
        folder = self._cache / digest
        try:
            return load(folder, digest)
        except ArtifactError:  # not there, or no longer complete
            shutil.rmtree(folder, ignore_errors=True)
        manifest = self.manifest(tenant, name, version)
        if artifact.digest(manifest) != digest:
            raise ArtifactError(f"{name} {version} in the store is not the one registered", code="wrong_hash")
        self._download(tenant, manifest, folder)
        return load(folder, digest)

    def expire(self, before: float) -> int:
        """Delete test rows stored, or fetched, before a moment (Unix time); return the number of files deleted.

        Their versions stay complete: only the gate needs test rows.
        """
        expired = [path for path in self._test_rows() if self._stored_at(path) < before]
        try:
            for path in expired:
                self._filesystem.delete_file(path)
        except OSError as error:
            raise _away(error) from error
        fetched = [file for file in self._cache.glob(f"*/{artifact.TEST_ROWS}") if file.stat().st_mtime < before]
        for file in fetched:
            file.unlink(missing_ok=True)
        return len(expired) + len(fetched)

    def _test_rows(self) -> set[str]:
        """Return the paths of all tenants' test rows, except where another file has the same hash."""
        try:
            found = self._filesystem.get_file_info(pafs.FileSelector(self._root, allow_not_found=True, recursive=True))
        except OSError as error:
            raise _away(error) from error
        rows: set[str] = set()
        others: set[str] = set()
        for info in found:
            folder, _, rest = info.path.partition("/manifests/")
            content = self._read(info.path, MAX_MANIFEST_BYTES) if rest.endswith(".json") else None
            if content is not None:
                for file in artifact.decode(content).files:
                    place = f"{folder}/files/{file.blake2b}"
                    (rows if file.path == artifact.TEST_ROWS else others).add(place)
        return rows - others

    def _stored_at(self, path: str) -> float:
        """Return when a file was stored (Unix time), infinity if it is not there."""
        try:
            info = self._filesystem.get_file_info(path)
        except OSError as error:
            raise _away(error) from error
        there = info.type == pafs.FileType.File and info.mtime is not None
        return info.mtime.timestamp() if there else math.inf

    def _download(self, tenant: TenantId, manifest: Manifest, folder: Path) -> None:
        """Write next to the final place, then rename: other processes see a complete folder. The first to finish
        wins."""
        self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(suffix=_PARTIAL, dir=self._cache) as beside:
            for file in manifest.files:
                content = self._read(self._file_path(tenant, file.blake2b), file.size_bytes)
                if content is None and file.path == artifact.TEST_ROWS:
                    continue
                if content is None:
                    raise ArtifactError(f"{file.path} is not in the store", code="missing_file")
                artifact.check_content(file, content)
                path = Path(beside, "whole", file.path)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            Path(beside, "whole", MANIFEST).write_bytes(artifact.encode(manifest))
            try:
                Path(beside, "whole").rename(folder)
            except OSError:
                if not folder.is_dir():
                    raise

    def _manifest_path(self, tenant: TenantId, name: str, version: int) -> str:
        if not _NAME.fullmatch(tenant) or not _NAME.fullmatch(name):
            raise RequestError(f"the name {name[:80]!r} cannot be used", code="invalid_name")
        return f"{self._root}/{tenant}/manifests/{name}/{version:09d}.json"

    def _file_path(self, tenant: TenantId, blake2b: str) -> str:
        return f"{self._root}/{tenant}/files/{blake2b}"

    def _held(self, place: str) -> str | None:
        """Return the digest of the manifest at ``place``."""
        found = self._read(place, MAX_MANIFEST_BYTES)
        return None if found is None else artifact.digest(artifact.decode(found))

    def _read(self, path: str, most: int) -> bytes | None:
        """Read at most one byte more than ``most``, which is enough to see that a file is too long."""
        try:
            with self._filesystem.open_input_stream(path) as stream:
                return bytes(stream.read(most + 1))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _away(error) from error

    def _write(self, path: str, data: bytes) -> None:
        """Write a complete file; an existing one is left as it is."""
        try:
            if self._filesystem.get_file_info(path).type != pafs.FileType.NotFound:
                return
            if self._is_local:
                _write_durably(Path(path), data)
                return
            if self._filesystem.type_name not in _WITHOUT_FOLDERS:
                self._filesystem.create_dir(path.rpartition("/")[0])
            with self._filesystem.open_output_stream(path) as stream:
                stream.write(data)
        except OSError as error:
            raise _away(error) from error


def _write_durably(path: Path, data: bytes) -> None:
    """Sync, then link under the final name: the link fails if another writer was first, and their file stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(suffix=_PARTIAL, dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(handle)
        os.link(beside, path)
    except FileExistsError:
        pass
    finally:
        os.unlink(beside)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _away(error: OSError) -> UnavailableError:
    return UnavailableError(f"the store of models does not answer: {str(error)[:200]}", retry_after_s=1.0)
