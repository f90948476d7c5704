"""The directory's one small file: the map, and what is under way. Only the directory writes it; anybody may read it."""

from __future__ import annotations

from pathlib import Path

import msgspec

from actors.calls.partition_map import PartitionMap
from whisperer.ids import Partition, TenantId

FILE = "directory.json"


class Move(msgspec.Struct, frozen=True):
    """A move under way: to be done when the map has ``map_version``."""

    tenant: TenantId
    partition: Partition
    source: int
    target: int
    map_version: int


class Upgrade(msgspec.Struct, frozen=True):
    """An upgrade under way, with the names of the actors that hand over and take over."""

    shard: int
    old_name: str
    new_name: str


class DirectoryState(msgspec.Struct):
    """The file's content: the map, and the move or upgrade under way."""

    map: PartitionMap
    moving: Move | None = None
    upgrading: Upgrade | None = None


def read(folder: Path) -> DirectoryState | None:
    """Return the directory's state; None where there is no file."""
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=DirectoryState)
    except FileNotFoundError:
        return None


def read_map(folder: Path) -> PartitionMap | None:
    """Return the map; None where there is no file."""
    found = read(folder)
    return None if found is None else found.map
