"""Read the blocks that journals of record versions 1 and 2 hold: separate columns, texts as msgpack strings.

Each is converted to today's :class:`~whisperer.events.block.EventBlock`, event by event; speed does not matter, because
such blocks only occur once, in the tail of a journal after an upgrade.
"""

from __future__ import annotations

import msgspec
import numpy as np

from whisperer.events.block import EventBlock
from whisperer.events.parts import PartBuilder, merge
from whisperer.ids import TenantId, UserKey, key_hash, tenant_seed


class _BlockV1(msgspec.Struct, array_like=True, frozen=True, gc=False):
    version: int
    tenant: TenantId
    received_at: int
    partition: bytes
    kind: bytes
    flags: bytes
    timestamp: bytes
    received: bytes
    revenue: bytes
    message_hash: bytes
    name: bytes
    names: list[str]
    zone: bytes
    zones: list[str]
    locale: bytes
    locales: list[str]
    keys: list[UserKey]
    links: list[tuple[int, UserKey]]
    message_ids: list[str]
    lengths: bytes
    payload: bytes
    connections: list[tuple[int, int, str]] = []


_decode = msgspec.msgpack.Decoder(_BlockV1).decode


def decode_v1(data: bytes | memoryview) -> EventBlock:
    """Decode a block of version 1 into today's form. Raises msgspec.MsgspecError for anything else."""
    old = _decode(data)
    seed = tenant_seed(old.tenant)
    numbers = {
        name: np.frombuffer(getattr(old, name), dtype).tolist()
        for name, dtype in (
            ("partition", np.uint16),
            ("kind", np.uint8),
            ("flags", np.uint8),
            ("timestamp", np.int64),
            ("received", np.int64),
            ("revenue", np.int64),
            ("name", np.uint16),
            ("zone", np.uint16),
            ("locale", np.uint16),
            ("lengths", np.uint32),
        )
    }
    links = dict(old.links)
    builder = PartBuilder()
    payload_at = 0
    for i, key in enumerate(old.keys):
        size = numbers["lengths"][i]
        builder.add(
            key=key,
            hashed=key_hash(key, seed),
            partition=numbers["partition"][i],
            kind=numbers["kind"][i],
            name=old.names[numbers["name"][i]],
            timestamp=numbers["timestamp"][i],
            received=numbers["received"][i],
            message_id=old.message_ids[i],
            message_hash=old.message_hash[16 * i : 16 * i + 16],
            payload=old.payload[payload_at : payload_at + size],
            flags=numbers["flags"][i],
            revenue=numbers["revenue"][i],
            zone=old.zones[numbers["zone"][i]],
            locale=old.locales[numbers["locale"][i]],
            link=links.get(i),
        )
        payload_at += size
    block = merge(old.tenant, [builder.build()])
    return msgspec.structs.replace(block, received_at=old.received_at, connections=old.connections)
