"""The directory's one small file: the map, and what is under way. Written by the directory alone, read by anybody."""

from __future__ import annotations

from pathlib import Path

import msgspec

from actors.partition_map import PartitionMap

FILE = "directory.json"


class Move(msgspec.Struct, frozen=True):
    tenant: str
    partition: int
    source: int
    target: int
    map_version: int


class Upgrade(msgspec.Struct, frozen=True):
    """``names`` of the actors that hand over and take over."""

    shard: int
    old_name: str
    new_name: str


class DirectoryState(msgspec.Struct):
    map: PartitionMap
    moving: Move | None = None
    upgrading: Upgrade | None = None


def read(folder: Path) -> DirectoryState | None:
    try:
        return msgspec.json.decode((folder / FILE).read_bytes(), type=DirectoryState)
    except FileNotFoundError:
        return None


def read_map(folder: Path) -> PartitionMap | None:
    found = read(folder)
    return None if found is None else found.map
