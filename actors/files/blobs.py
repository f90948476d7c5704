"""Store named blobs under a URI: a local folder, S3, GCS, anything :mod:`pyarrow.fs` supports.

Guarantees: a blob is seen whole or not at all; on a local disk it survives a power cut once :meth:`BlobFolder.put` or
the ``with`` of :meth:`BlobFolder.writing` has ended (object stores promise the same of a finished upload). Leaves to
others: which blobs belong together. To make a set visible at once, put last a blob that names the others.

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

from actors.files.fsync import PARTIAL_SUFFIX, create_durably, make_folder_durably, private, sync_folder
from whisperer.errors import DamagedError

_WITHOUT_FOLDERS = {"s3", "gcs", "abfs"}
_SEAL = b"\ncrc32c:"
_UPLOAD_BYTES = 8 << 20


class SealError(DamagedError):
    """The blob is not what was sealed."""


def seal(data: bytes) -> bytes:
    """Append the data's CRC32C, for :func:`unseal`."""
    return b"%s%s%08x\n" % (data, _SEAL, value(data))


def unseal(blob: bytes) -> bytes:
    """Return the data of a sealed blob. Raises SealError."""
    data, found, crc = blob.rpartition(_SEAL)
    if not found or crc != b"%08x\n" % value(data):
        raise SealError("checksum does not match")
    return data


class _Sink(Protocol):
    def write(self, data: bytes, /) -> object: ...


class BlobWriter:
    """Write to a file, for pyarrow among others, counting and checksumming what passes.

    Attributes
    ----------
    n_bytes : bytes written
    crc32c : their checksum
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
    """Hold blobs by name; a name is a path relative to the folder, with ``/`` between its parts.

    Parameters
    ----------
    uri : what ``pyarrow.fs.FileSystem.from_uri`` takes, or a path
    filesystem : use this one; ``uri`` is then a path in it
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
        """Return the path of a blob in :attr:`filesystem`."""
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
        """Write a blob in pieces; it exists once the ``with`` ends without an exception.

        On an object store an exception may leave a truncated blob: it counts only if another blob names it.
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
        """Return a local path, next to its place or else in ``spool``, for writing a large blob whole, for
        :meth:`adopt`.
        """
        path = Path(self.path_of(name)) if self.is_local else spool / name.replace("/", "-")
        make_folder_durably(path.parent)
        return path.with_name(path.name + PARTIAL_SUFFIX)

    def adopt(self, path: Path, name: str) -> None:
        """Turn a file from :meth:`begin`, written and synced, into the blob ``name``; the file is gone afterwards."""
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
        """Return a blob's bytes. Raises FileNotFoundError."""
        with self.filesystem.open_input_stream(self.path_of(name)) as stream:
            return bytes(stream.read())

    def has(self, name: str) -> bool:
        """Return whether there is such a blob."""
        return bool(self.filesystem.get_file_info(self.path_of(name)).type == pafs.FileType.File)

    @contextlib.contextmanager
    def reading(self, name: str) -> Iterator[pa.NativeFile]:
        """Open a blob for reading in places (``size()``, ``read_at(n, offset)``). Raises FileNotFoundError."""
        with self.filesystem.open_input_file(self.path_of(name)) as file:
            yield file

    def names(self, prefix: str = "", *, unfinished: bool = False) -> list[str]:
        """Return the sorted names of the finished blobs in a sub-folder (by default, the whole folder) and below.

        ``unfinished`` also includes what interrupted writes left, under names that end in ``.partial``.
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
        """Delete a blob; a missing one is no error."""
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_file(self.path_of(name))
            if self.is_local:
                sync_folder(Path(self.path_of(name)).parent)

    def delete_folder(self, name: str) -> None:
        """Delete a sub-folder with everything in it, including unfinished blobs."""
        if self.is_local:
            shutil.rmtree(self.path_of(name), ignore_errors=True)
        else:
            with contextlib.suppress(FileNotFoundError):
                self.filesystem.delete_dir(self.path_of(name))
