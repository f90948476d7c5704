"""Make files durable on a local disk: a file's bytes, and its name in the folder.

Guarantees: after :func:`create_durably` returns, the file is there with all its bytes, even after a power cut, and
nobody ever sees it with only some of them. Only their owner can access files and folders made here. Leaves to others:
what the files mean, and object stores.
"""

from __future__ import annotations

import os
from pathlib import Path

PARTIAL_SUFFIX = ".partial"
"""Ends the name of a file that is being written; the folder's owner may delete such a file at any time."""


def private(path: str, flags: int) -> int:
    """Open a file, for `open`'s ``opener``; one that it creates is accessible to its owner alone."""
    return os.open(path, flags, 0o600)


def sync_folder(folder: Path) -> None:
    """Make the folder's names durable: files created in, renamed into or deleted from it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def make_folder_durably(folder: Path) -> None:
    """Create the folder and missing parents, and make each name durable in the folder above it."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for made in reversed(missing):
        made.mkdir(mode=0o700, exist_ok=True)
        sync_folder(made.parent)


def create_durably(path: Path, data: bytes) -> None:
    """Create or replace a file: write a temporary one, sync, rename, sync the name. Raises OSError."""
    partial = path.with_name(path.name + PARTIAL_SUFFIX)
    fd = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        written = 0
        while written < len(data):  # Linux writes at most 2 GiB in one call
            written += os.write(fd, memoryview(data)[written:])
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(partial, path)
    sync_folder(path.parent)
