"""Which users are being taken out of the warehouse: a list that whoever exports reads before it writes.

A partition moves, and what was journaled at its former home is exported there, by a shard that knows of no erasure. So
the shard that erases announces whom, and since when, beside the catalog. Guarantees: an export that begins after an
announcement leaves these users' rows out, whatever shard makes it; those that began before are over once every shard
has been flushed, and one more rewrite then finds whatever they brought. Only then does the shard take its announcement
back: nothing can come any more, as a shard marks by itself what arrives late (:mod:`whisperer.shard.arrivals`).

One sealed blob a shard, ``catalog/erasures/<shard>.json``, replaced whole. Only that shard's owner writes it. A user is
named by the hash of the key, as in the shard's tombstones.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from actors.blobs import BlobFolder, SealError, seal, unseal
from whisperer.errors import InvariantError

FORMAT_VERSION = 1
FOLDER = "catalog/erasures"

Erased = dict[str, dict[bytes, int]]
"""By tenant: hash of an erased user's key -> when, ms UTC. What is dated up to then is to go."""


class _Announcement(msgspec.Struct, frozen=True):
    """``erased``: (tenant, hash of the key as hexadecimal digits, ms UTC)."""

    format: int
    shard: int
    erased: list[tuple[str, str, int]]


class Erasures:
    def __init__(self, blobs: BlobFolder) -> None:
        self._blobs = blobs

    def announce(self, shard: int, erased: Mapping[str, Mapping[bytes, int]]) -> None:
        """What a shard is erasing, in place of what it announced before; nothing takes the announcement back."""
        listed = [(tenant, key.hex(), at) for tenant, keys in erased.items() for key, at in keys.items()]
        name = f"{FOLDER}/{shard:04d}.json"
        if listed:
            self._blobs.put(name, seal(msgspec.json.encode(_Announcement(FORMAT_VERSION, shard, listed))))
        else:
            self._blobs.delete(name)

    def under_way(self) -> Erased:
        """What all shards announced. Raises InvariantError for an announcement that is damaged."""
        found: Erased = {}
        for name in self._blobs.names(FOLDER):
            try:
                announced = msgspec.json.decode(unseal(self._blobs.get(name)), type=_Announcement)
            except FileNotFoundError:
                continue  # taken back: there is nothing to leave out any more
            except (SealError, msgspec.DecodeError) as error:
                raise InvariantError(f"{self._blobs.path_of(name)}: damaged: {error}") from error
            if announced.format != FORMAT_VERSION:
                raise InvariantError(f"{self._blobs.path_of(name)}: format {announced.format} is not supported")
            for tenant, key, at in announced.erased:
                add(found, tenant, bytes.fromhex(key), at)
        return found


def add(erased: Erased, tenant: str, key: bytes, at: int) -> None:
    """The later of two erasures of a user counts."""
    held = erased.setdefault(tenant, {})
    held[key] = max(at, held.get(key, at))
