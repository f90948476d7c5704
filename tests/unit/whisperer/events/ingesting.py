"""The whole way of a request through ingestion, as the gateway walks it, with a fixed clock."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from whisperer.events.admit import admit
from whisperer.events.answer import answer
from whisperer.events.block import EventBlock, Payloads, encode_block, key_of, link_of, message_id_of
from whisperer.events.decoding import decode_block
from whisperer.events.decompress import decompress
from whisperer.events.outcome import Admission
from whisperer.events.parse import Parsed, parse_body
from whisperer.events.parts import merge
from whisperer.events.refusals import Refusal
from whisperer.events.routes import ROUTES, Route
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
    key_hash: int
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
    result: Admission | Refusal
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
        assert isinstance(self.result, Admission)
        return {notice.value: n for notice, n in self.result.notices.items()}

    @property
    def rejected(self) -> list[tuple[int, str]]:
        assert isinstance(self.result, Admission)
        return [(one.index, one.code.value) for one in self.result.rejected]


def stored(block: EventBlock, shard: int) -> list[Stored]:
    rows, payloads = block.events(), Payloads(block)
    return [
        Stored(
            key=key_of(block, i),
            partition=int(row["partition"]),
            key_hash=int(row["key_hash"]),
            kind=int(row["kind"]),
            flags=int(row["flags"]),
            timestamp=int(row["timestamp"]),
            received=int(row["received"]),
            revenue=int(row["revenue"]),
            hash=row["message_a"].tobytes() + row["message_b"].tobytes(),
            name=block.names[row["name"]],
            zone=block.zones[row["zone"]],
            locale=block.locales[row["locale"]],
            message_id=message_id_of(block, i),
            payload=payloads[i],
            link=link_of(block, i),
            shard=shard,
        )
        for i, row in enumerate(rows)
    ]


def admitted(
    body: bytes,
    route: str,
    parse: Callable[[bytes, Route], Parsed | Refusal] = parse_body,
    *,
    now: int = NOW,
    ip: str | None = "192.0.2.9",
) -> Admission | Refusal:
    parsed = parse(body, ROUTES[route])
    if isinstance(parsed, Refusal):
        return parsed
    numbers = itertools.count()
    return admit(
        parsed,
        seed=SEED,
        received_at=now,
        client_ip=ip,
        new_message_id=lambda: f"generated-{next(numbers)}",
        shard_of=SHARD_OF,
    )


def ingest(
    body: bytes | dict[str, Any] | list[Any], route: str = "track", *, now: int = NOW, ip: str | None = "192.0.2.9"
) -> Ingested:
    """A body, or what to make one of, through every step; the blocks go over the wire and back."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    text = decompress(raw)
    result = text if isinstance(text, Refusal) else admitted(text, route, now=now, ip=ip)
    blocks = {}
    if isinstance(result, Admission):
        blocks = {shard: decode_block(encode_block(merge("tn_test", [part]))) for shard, part in result.parts.items()}
        assert sum(map(len, blocks.values())) == result.n_accepted
    return Ingested(result, *answer(result, instance=f"/v1/{route}"), blocks)


def track(**members: Any) -> dict[str, Any]:
    """A good track event; a member given as ... is left out."""
    event = {"type": "track", "event": "Signed Up", "userId": "u1", "messageId": "m1"} | members
    return {name: value for name, value in event.items() if value is not ...}
