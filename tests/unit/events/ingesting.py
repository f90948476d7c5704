"""The whole way of a request through ingestion, as the gateway walks it, with a fixed clock."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import Any

from whisperer.events.admit import admit
from whisperer.events.answer import answer
from whisperer.events.block import BlockBuilder, EventBlock, columns_of, decode_block, encode_block, payload_offsets
from whisperer.events.decompress import decompress
from whisperer.events.outcome import Outcome
from whisperer.events.parse import parse_body
from whisperer.events.refusals import Refusal
from whisperer.events.routes import ROUTES
from whisperer.ids import N_PARTITIONS, tenant_seed

NOW = 1_795_395_322_700  # 2026-11-23T00:55:22.700Z
SEED = tenant_seed("tn_test")
N_SHARDS = 3
SHARD_OF = [partition % N_SHARDS for partition in range(N_PARTITIONS)]


@dataclass
class Stored:
    """One event as it stands in its block."""

    key: str
    partition: int
    kind: int
    flags: int
    timestamp: int
    received: int
    revenue: int
    hash: bytes
    name: str
    zone: str
    locale: str
    message_id: str
    payload: bytes
    link: str | None
    shard: int


@dataclass
class Ingested:
    result: Outcome | Refusal
    status: int
    body: dict[str, Any]
    blocks: dict[int, EventBlock]

    @property
    def events(self) -> list[Stored]:
        return [event for shard, block in self.blocks.items() for event in stored(block, shard)]

    @property
    def only(self) -> Stored:
        (event,) = self.events
        return event

    @property
    def code(self) -> str | None:
        return self.body.get("code")

    @property
    def notices(self) -> dict[str, int]:
        assert isinstance(self.result, Outcome)
        return {notice.value: n for notice, n in self.result.notices.items()}

    @property
    def rejected(self) -> list[tuple[int, str]]:
        assert isinstance(self.result, Outcome)
        return [(one.index, one.code.value) for one in self.result.rejected]


def stored(block: EventBlock, shard: int) -> list[Stored]:
    columns = columns_of(block)
    links = dict(block.links)
    ends = payload_offsets(block).tolist()
    return [
        Stored(
            key=block.keys[i],
            partition=int(columns.partition[i]),
            kind=int(columns.kind[i]),
            flags=int(columns.flags[i]),
            timestamp=int(columns.timestamp[i]),
            received=int(columns.received[i]),
            revenue=int(columns.revenue[i]),
            hash=columns.message_hash[i].tobytes(),
            name=block.names[columns.name[i]],
            zone=block.zones[columns.zone[i]],
            locale=block.locales[columns.locale[i]],
            message_id=block.message_ids[i],
            payload=block.payload[ends[i] : ends[i + 1]],
            link=links.get(i),
            shard=shard,
        )
        for i in range(len(block))
    ]


def ingest(
    body: bytes | dict[str, Any] | list[Any], route: str = "track", *, now: int = NOW, ip: str | None = "192.0.2.9"
) -> Ingested:
    """A body, or what to make one of, through every step; the blocks go over the wire and back."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    builders = {shard: BlockBuilder("tn_test") for shard in range(N_SHARDS)}
    result: Outcome | Refusal
    text = decompress(raw)
    parsed = text if isinstance(text, Refusal) else parse_body(text, ROUTES[route])
    if isinstance(parsed, Refusal):
        result = parsed
    else:
        numbers = itertools.count()
        result = admit(
            parsed,
            seed=SEED,
            received_at=now,
            client_ip=ip,
            new_message_id=lambda: f"generated-{next(numbers)}",
            shard_of=SHARD_OF,
            builders=builders,
        )
    blocks = {shard: decode_block(encode_block(builder.build())) for shard, builder in builders.items()}
    if isinstance(result, Outcome):
        assert sum(map(len, blocks.values())) == result.n_accepted
    else:
        assert not any(map(len, blocks.values()))
    return Ingested(result, *answer(result, instance=f"/v1/{route}"), blocks)


def track(**members: Any) -> dict[str, Any]:
    """A good track event; a member given as ... is left out."""
    event = {"type": "track", "event": "Signed Up", "userId": "u1", "messageId": "m1"} | members
    return {name: value for name, value in event.items() if value is not ...}
