"""Where artifacts are kept: any :mod:`pyarrow.fs` URI, a local folder among them.

    <uri>/<tenant>/files/<blake2b>                    contents, each under its own hash
    <uri>/<tenant>/manifests/<name>/<version>.json    written last: without it a version is not there

Guarantees: a version is seen whole or not at all, and never changes: what two writers put under one hash is the same,
and a manifest is written once. (On an object store two writers of one version in the same instant may both see it free;
the digest that was registered then tells which is meant, and the other is refused.) Nothing is handed out before its
bytes were verified. Test rows age out (:meth:`ArtifactStore.expire`), nothing else does. A folder that was fetched is
kept, by digest, and verified again at every load. Leaves to others: which version is in use (:mod:`.rollout`).
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
from whisperer.models import artifact
from whisperer.models.artifact import MANIFEST, MAX_MANIFEST_BYTES, NAME, Manifest
from whisperer.models.errors import ArtifactError
from whisperer.models.loading import Artifact, load

_NAME = re.compile(NAME)
_PARTIAL = ".partial"
_WITHOUT_FOLDERS = {"s3", "gcs", "abfs"}


class ArtifactStore:
    """Parameters
    ----------
    uri : any ``pyarrow.fs`` URI or a path
    cache : local folder of what was fetched; may be deleted at any time, and shared by processes

    Every method raises UnavailableError while the store does not answer.
    """

    def __init__(self, uri: str | os.PathLike[str], cache: Path) -> None:
        text = os.fspath(uri)
        self._filesystem, self._root = pafs.FileSystem.from_uri(
            text if urlsplit(text).scheme else Path(text).absolute().as_uri()
        )
        self._is_local = isinstance(self._filesystem, pafs.LocalFileSystem)
        self._cache = cache

    def put(self, tenant: str, folder: Path, manifest: Manifest) -> str:
        """Keep a folder as the version its manifest names; its digest. The same artifact again changes nothing.

        Raises ArtifactError, and ConflictError (`version_exists`) where the version is another artifact.
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

    def manifest(self, tenant: str, name: str, version: int) -> Manifest:
        """Raises NotFoundError (`artifact_not_found`), ArtifactError."""
        found = self._read(self._manifest_path(tenant, name, version), MAX_MANIFEST_BYTES)
        if found is None:
            raise NotFoundError(f"the store has no {name[:80]!r} {version}", code="artifact_not_found")
        manifest = artifact.decode(found)
        if (manifest.name, manifest.version) != (name, version):
            raise ArtifactError(f"the manifest at {name} {version} is of another version", code="invalid_manifest")
        return manifest

    def versions(self, tenant: str, name: str) -> list[int]:
        """Those that are whole, oldest first."""
        folder = self._manifest_path(tenant, name, 1).rpartition("/")[0]
        try:
            found = self._filesystem.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        except OSError as error:
            raise _away(error) from error
        stems = [info.base_name.removesuffix(".json") for info in found if info.base_name.endswith(".json")]
        return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit())

    def next_version(self, tenant: str, name: str) -> int:
        return max(self.versions(tenant, name), default=0) + 1

    def fetch(self, tenant: str, name: str, version: int, digest: str | None = None) -> Artifact:
        """A version, whole and verified, in a local folder. Raises NotFoundError, ArtifactError.

        ``digest``: of the one that was registered; any other is refused (`wrong_hash`).
        """
        if digest is None:
            digest = artifact.digest(self.manifest(tenant, name, version))
        folder = self._cache / digest
        try:
            return load(folder, digest)
        except ArtifactError:  # not there, or not whole any more
            shutil.rmtree(folder, ignore_errors=True)
        manifest = self.manifest(tenant, name, version)
        if artifact.digest(manifest) != digest:
            raise ArtifactError(f"{name} {version} in the store is not the one registered", code="wrong_hash")
        self._download(tenant, manifest, folder)
        return load(folder, digest)

    def expire(self, before: float) -> int:
        """Delete test rows that were stored, or fetched, before a moment (Unix time); how many files went.

        Their versions stay whole: only the gate asks for test rows.
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
        """Where manifests of all tenants say that there are some, and nothing else under the same hash."""
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
        """Unix time; of what is not there, never."""
        try:
            info = self._filesystem.get_file_info(path)
        except OSError as error:
            raise _away(error) from error
        there = info.type == pafs.FileType.File and info.mtime is not None
        return info.mtime.timestamp() if there else math.inf

    def _download(self, tenant: str, manifest: Manifest, folder: Path) -> None:
        """Beside its place and then renamed: other processes see it whole. Who comes second keeps what is there."""
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

    def _manifest_path(self, tenant: str, name: str, version: int) -> str:
        if not _NAME.fullmatch(tenant) or not _NAME.fullmatch(name):
            raise RequestError(f"the name {name[:80]!r} cannot be used", code="invalid_name")
        return f"{self._root}/{tenant}/manifests/{name}/{version:09d}.json"

    def _file_path(self, tenant: str, blake2b: str) -> str:
        return f"{self._root}/{tenant}/files/{blake2b}"

    def _held(self, place: str) -> str | None:
        """Digest of the manifest there."""
        found = self._read(place, MAX_MANIFEST_BYTES)
        return None if found is None else artifact.digest(artifact.decode(found))

    def _read(self, path: str, most: int) -> bytes | None:
        """At most one byte more than ``most``, which is enough to see that it is too long."""
        try:
            with self._filesystem.open_input_stream(path) as stream:
                return bytes(stream.read(most + 1))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _away(error) from error

    def _write(self, path: str, data: bytes) -> None:
        """A whole file that is not there yet; one that is stays as it is."""
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
    """Synced, then linked under its name: the link fails where another writer was first, and his file stays."""
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
