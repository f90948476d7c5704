"""Makes what an installation keeps on this machine private, wherever it is and whoever created it.

New files are private through the umask of the processes that write them. This module closes older ones: the folders
that settings name become 0700, which makes everything below them unreachable, and single files 0600. What does not
exist yet, is on an object store, or belongs to somebody else is left alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sqlalchemy import make_url

from whisperer.settings import Settings

_BESIDE = ("", "-wal", "-shm")
"""Suffixes of the files of one SQLite database."""


def close(data_dir: str, settings: Settings) -> None:
    """Make everything that the settings name, and the data folder, private to its owner."""
    for folder in _folders(data_dir, settings):
        if folder.is_dir():
            _set(folder, 0o700)
    for file in _files(data_dir, settings):
        if file.is_file():
            _set(file, 0o600)


def _folders(data_dir: str, settings: Settings) -> Iterator[Path]:
    yield Path(data_dir)
    yield Path(data_dir) / "logs"
    for uri in (settings.journal.url, settings.snapshots.uri, settings.warehouse.uri, settings.models.uri):
        parts = urlsplit(uri)
        if parts.scheme in ("file", ""):
            yield Path(unquote(parts.path))


def _files(data_dir: str, settings: Settings) -> Iterator[Path]:
    databases = [Path(data_dir) / "sink.db"]
    url = make_url(settings.control_plane.url)
    if url.get_backend_name() == "sqlite" and url.database and url.database != ":memory:":
        databases.append(Path(url.database))
    for database in databases:
        yield from (database.with_name(database.name + end) for end in _BESIDE)


def _set(path: Path, mode: int) -> None:
    with contextlib.suppress(PermissionError):
        if path.stat().st_uid == os.geteuid() and path.stat().st_mode & 0o077:
            path.chmod(mode)
