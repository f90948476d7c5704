"""Named blobs under a URI: a local folder, S3, GCS, anything :mod:`pyarrow.fs` speaks.

Guarantees: a blob is seen whole or not at all; on a local disk it survives a power cut once :meth:`BlobFolder.put` or
the ``with`` of :meth:`BlobFolder.writing` is over (object stores promise the same of a finished upload). Leaves to
others: which blobs belong together. A set becomes visible at once by putting, last, one that names the others.

A *sealed* blob ends with its own CRC32C, so that a manifest with a flipped bit is never believed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
from google_crc32c import extend, value

from actors.fsync import PARTIAL_SUFFIX, create_durably, make_folder_durably, private, sync_folder

_WITHOUT_FOLDERS = {"s3", "gcs", "abfs"}
_SEAL = b"\ncrc32c:"
_UPLOAD_BYTES = 8 << 20


class SealError(ValueError):
    """The blob is not what was sealed."""


def seal(data: bytes) -> bytes:
    return b"%s%s%08x\n" % (data, _SEAL, value(data))


def unseal(blob: bytes) -> bytes:
    """The data of a sealed blob. Raises SealError."""
    data, found, crc = blob.rpartition(_SEAL)
    if not found or crc != b"%08x\n" % value(data):
        raise SealError("checksum does not match")
    return data


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class BlobWriter:
    """A file to write to, for pyarrow among others, that counts and sums up what passes.

    Attributes
    ----------
    n_bytes : bytes written
    crc32c : checksum of them
    """

    closed = False

    def __init__(self, sink: _Sink) -> None:
        self._sink = sink
        self.n_bytes = 0
        self.crc32c = 0

    def write(self, data: bytes) -> int:
        self._sink.write(data)
        self.n_bytes += len(data)
        self.crc32c = int(extend(self.crc32c, data))
        return len(data)

    def flush(self) -> None: ...

    def close(self) -> None: ...

    def readable(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False


class BlobFolder:
    """Blobs by name, a path relative to the folder with ``/`` between its parts.

    Parameters
    ----------
    uri : what ``pyarrow.fs.FileSystem.from_uri`` takes, or a path
    filesystem : use this one, ``uri`` being a path in it
    """

    def __init__(self, uri: str | os.PathLike[str], *, filesystem: pafs.FileSystem | None = None) -> None:
        if filesystem is not None:
            self.filesystem, self.root = filesystem, str(uri)
        else:
            text = os.fspath(uri)
            self.filesystem, self.root = pafs.FileSystem.from_uri(
                text if urlsplit(text).scheme else Path(text).absolute().as_uri()
            )
        self.is_local = isinstance(self.filesystem, pafs.LocalFileSystem)

    def path_of(self, name: str) -> str:
        """Path of a blob in :attr:`filesystem`."""
        return f"{self.root}/{name}"

    def put(self, name: str, data: bytes) -> None:
        """Create or replace a blob."""
        if self.is_local:
            path = Path(self.path_of(name))
            make_folder_durably(path.parent)
            create_durably(path, data)
            return
        with self._open_upload(name) as stream:
            stream.write(data)

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[BlobWriter]:
        """A blob to be written in pieces; it is there when the ``with`` ends without an exception.

        On an object store an exception may leave a truncated blob: only a blob that names this one makes it count.
        """
        if not self.is_local:
            with self._open_upload(name) as stream:
                yield BlobWriter(stream)
            return
        path = Path(self.path_of(name))
        make_folder_durably(path.parent)
        partial = path.with_name(path.name + PARTIAL_SUFFIX)
        with open(partial, "wb", buffering=1 << 20, opener=private) as file:
            yield BlobWriter(file)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(path)
        sync_folder(path.parent)

    def _open_upload(self, name: str) -> pa.NativeFile:
        path = self.path_of(name)
        if self.filesystem.type_name not in _WITHOUT_FOLDERS:
            self.filesystem.create_dir(path.rpartition("/")[0])
        return self.filesystem.open_output_stream(path)

    def begin(self, name: str, spool: Path) -> Path:
        """A local path to write a large blob at, whole, for :meth:`adopt`: beside its place, or else in ``spool``."""
        path = Path(self.path_of(name)) if self.is_local else spool / name.replace("/", "-")
        make_folder_durably(path.parent)
        return path.with_name(path.name + PARTIAL_SUFFIX)

    def adopt(self, path: Path, name: str) -> None:
        """Make a file that :meth:`begin` gave a place, written and synced, the blob ``name``; the file is gone then."""
        if self.is_local:
            target = Path(self.path_of(name))
            path.rename(target)
            sync_folder(target.parent)
            return
        with path.open("rb") as file, self._open_upload(name) as stream:
            while piece := file.read(_UPLOAD_BYTES):
                stream.write(piece)
        path.unlink()

    def get(self, name: str) -> bytes:
        """Raises FileNotFoundError."""
        with self.filesystem.open_input_stream(self.path_of(name)) as stream:
            return bytes(stream.read())

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[pa.NativeFile]:
        """A blob to be read in places (``size()``, ``read_at(n, offset)``). Raises FileNotFoundError."""
        with self.filesystem.open_input_file(self.path_of(name)) as file:
            yield file

    def names(self, prefix: str = "", *, unfinished: bool = False) -> list[str]:
        """Names of the finished blobs in a sub-folder (all of them by default) and below, sorted.

        ``unfinished``: also what interrupted writes left, under names that end in ``.partial``.
        """
        folder = f"{self.root}/{prefix}".rstrip("/")
        selector = pafs.FileSelector(folder, recursive=True, allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        at = len(self.root) + 1
        return sorted(
            info.path[at:]
            for info in found
            if info.type == pafs.FileType.File and (unfinished or not info.path.endswith(PARTIAL_SUFFIX))
        )

    def delete(self, name: str) -> None:
        """Delete a blob; one that is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_file(self.path_of(name))
            if self.is_local:
                sync_folder(Path(self.path_of(name)).parent)

    def delete_folder(self, name: str) -> None:
        """Delete a sub-folder with everything in it, unfinished blobs too."""
        if self.is_local:
            shutil.rmtree(self.path_of(name), ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                self.filesystem.delete_dir(self.path_of(name))
