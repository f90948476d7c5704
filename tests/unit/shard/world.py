"""A few pure shards and the messages between them, driven by the test: no Ray, no clock, no disk."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from whisperer.events.block import BlockBuilder, encode_block
from whisperer.events.types import RESERVED_NAME, WIRE_TO_TYPE, EventType, Flag
from whisperer.ids import anonymous_key, known_key, message_hash, partition_of, tenant_seed
from whisperer.profiles.features import MICROS
from whisperer.shard import inspection
from whisperer.shard.effects import Effect, SegmentChanged, Send
from whisperer.shard.machine import Shard
from whisperer.shard.records import (
    RECORD_VERSION,
    ConfigPublished,
    Confirmed,
    Delivered,
    Erase,
    Events,
    Message,
    Record,
    RecordBody,
    SegmentConfig,
    Tick,
    decode_record,
    encode_record,
)

TENANT = "tn_test"
SEED = tenant_seed(TENANT)
DAY = 86_400_000
T0 = 1_790_000_000_000


def event(
    user: str | None = None,
    *,
    anonymous: str | None = None,
    type: str = "track",
    name: str = "Clicked",
    at: int = T0,
    id: str | None = None,
    revenue: float = 0,
    traits: dict[str, Any] | None = None,
    previous: str | None = None,
    active: bool = True,
    zone: str = "",
    locale: str = "",
) -> dict[str, Any]:
    """One admitted event, as the gateway would hand it over."""
    return {
        "user": user, "anonymous": anonymous, "type": type, "name": name, "at": at, "id": id, "revenue": revenue,
        "traits": traits, "previous": previous, "active": active, "zone": zone, "locale": locale,
    }  # fmt: skip


_serial = iter(range(10**9))


def add(builder: BlockBuilder, e: dict[str, Any]) -> None:
    kind = WIRE_TO_TYPE[e["type"]]
    key = known_key(e["user"]) if e["user"] else anonymous_key(e["anonymous"])
    link = None
    if e["user"] and e["anonymous"]:
        link = anonymous_key(e["anonymous"])
    if kind is EventType.ALIAS and e["previous"] != e["user"]:
        link = known_key(e["previous"])
    flags = (Flag.TRAITS if e["traits"] else 0) | (0 if e["active"] else Flag.INACTIVE) | (Flag.LINK if link else 0)
    message_id = e["id"] or f"m{next(_serial)}"
    payload = {"type": e["type"], "userId": e["user"], "anonymousId": e["anonymous"], "messageId": message_id}
    if e["traits"]:
        payload["traits"] = e["traits"]
    builder.add(
        key=key,
        partition=partition_of(key, SEED),
        kind=kind,
        name=e["name"] if kind is EventType.TRACK else RESERVED_NAME[kind],
        timestamp=e["at"],
        received=e["at"],
        message_id=message_id,
        message_hash=message_hash(message_id),
        payload=json.dumps(payload).encode(),
        flags=int(flags),
        revenue=round(e["revenue"] * MICROS),
        zone=e["zone"],
        locale=e["locale"],
        link=link,
    )


@dataclass
class World:
    """``n`` shards; partition p lives on shard p mod n. Everything goes through encoded records, as on disk."""

    n: int = 2
    now: int = T0
    shards: list[Shard] = field(default_factory=list)
    journals: list[list[bytes]] = field(default_factory=list)
    wire: deque[Message] = field(default_factory=deque)
    changes: list[SegmentChanged] = field(default_factory=list)
    place: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shards = [Shard(i) for i in range(self.n)]
        self.journals = [[] for _ in range(self.n)]

    def home(self, partition: int) -> int:
        return self.place.get(partition, partition % self.n)

    def write(self, shard: int, body: RecordBody) -> list[Effect]:
        data = encode_record(Record(RECORD_VERSION, 1, self.now, body))
        position = len(self.journals[shard])
        self.journals[shard].append(data)
        effects = self.shards[shard].apply([(position, decode_record(data))])
        for effect in effects:
            if isinstance(effect, Send):
                self.wire.append(effect.message)
            elif isinstance(effect, SegmentChanged):
                self.changes.append(effect)
        return effects

    def send(self, *events: dict[str, Any]) -> None:
        """One request: a block for each shard concerned."""
        builders: dict[int, BlockBuilder] = {}
        for e in events:
            key = known_key(e["user"]) if e["user"] else anonymous_key(e["anonymous"])
            shard = self.home(partition_of(key, SEED))
            add(builders.setdefault(shard, BlockBuilder(TENANT)), e)
        for shard, builder in builders.items():
            self.write(shard, Events(encode_block(builder.build())))

    def deliver(self, *, again: bool = False) -> None:
        """Carry all messages to their targets until none is left; ``again`` repeats each one."""
        while self.wire:
            message = self.wire.popleft()
            for _ in range(2 if again else 1):
                self.write(self.home(message.target), Delivered([message]))
            self.write(self.home(message.source), Confirmed([(message.tenant, message.source, message.sequence)]))

    def tick(self, now: int | None = None) -> None:
        self.now = self.now if now is None else now
        for shard in range(self.n):
            self.write(shard, Tick())

    def publish(self, version: int, **predicates: Any) -> None:
        configs = [SegmentConfig(n, version, json.dumps(p)) for n, p in predicates.items()]
        for shard in range(self.n):
            self.write(shard, ConfigPublished(TENANT, version, configs))

    def erase(self, key: str) -> None:
        self.write(self.home(partition_of(key, SEED)), Erase(TENANT, key))

    def user(self, key: str, as_of: int | None = None) -> inspection.UserView | None:
        """The user, following forwards."""
        for _ in range(10):
            shard = self.shards[self.home(partition_of(key, SEED))]
            view = inspection.user(shard, TENANT, key, as_of)
            if view is None or view.moved_to is None:
                return view
            key = view.moved_to
        raise AssertionError("forwards run in a circle")

    def replayed(self, shard: int) -> Shard:
        copy = Shard(shard)
        copy.apply((i, decode_record(data)) for i, data in enumerate(self.journals[shard]))
        return copy

    def check(self) -> None:
        """Invariants, and replay reproduces the state: run at every teardown."""
        for number, shard in enumerate(self.shards):
            inspection.check(shard)
            assert inspection.digest(self.replayed(number)) == inspection.digest(shard)
