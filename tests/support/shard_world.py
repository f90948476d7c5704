"""A few pure shards and the messages between them, driven by the test: no Ray, no clock, no disk."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from whisperer.content.message import RenderRequest
from whisperer.decisions.decision import NO_SEND, Candidate, Choice, seed_of
from whisperer.delivery.dispatch import Receipt, Verdict
from whisperer.errors import InvariantError
from whisperer.events.block import encode_block
from whisperer.events.parts import PartBuilder, merge
from whisperer.events.types import RESERVED_NAME, WIRE_TO_TYPE, EventType, Flag
from whisperer.feedback.outcome import Reward
from whisperer.ids import anonymous_key, key_hash, known_key, message_hash, partition_of, tenant_seed
from whisperer.journeys.campaign import Campaign, to_json
from whisperer.shard import inspection
from whisperer.shard.accounts import Account
from whisperer.shard.decision import sending
from whisperer.shard.effects import Decide, Deliver, Effect, SegmentChanged, SendLetter
from whisperer.shard.machine import Shard
from whisperer.shard.records import (
    RECORD_VERSION,
    CampaignConfig,
    ConfigPublished,
    DecisionsMade,
    Erase,
    Events,
    Experiment,
    Letter,
    LettersArrived,
    LettersConfirmed,
    Receipts,
    Record,
    RecordBody,
    SegmentConfig,
    Tick,
    decode_record,
    encode_record,
)
from whisperer.shard.story import with_story
from whisperer.shard.views.decision import DecisionView
from whisperer.shard.views.user import UserView
from whisperer.vocabulary.groups import Group
from whisperer.vocabulary.units import MICROS

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
    received: int | None = None,
) -> dict[str, Any]:
    """One admitted event, as the gateway would hand it over."""
    return {
        "user": user, "anonymous": anonymous, "type": type, "name": name, "at": at, "id": id, "revenue": revenue,
        "traits": traits, "previous": previous, "active": active, "zone": zone, "locale": locale,
        "received": at if received is None else received,
    }  # fmt: skip


_serial = iter(range(10**9))


def add(builder: PartBuilder, e: dict[str, Any]) -> None:
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
    if e["previous"]:
        payload["previousId"] = e["previous"]
    if not e["active"]:
        payload["context"] = {"active": False}
    builder.add(
        key=key,
        hashed=key_hash(key, SEED),
        partition=partition_of(key, SEED),
        kind=kind,
        name=e["name"] if kind is EventType.TRACK else RESERVED_NAME[kind],
        timestamp=e["at"],
        received=e["received"],
        message_id=message_id,
        message_hash=message_hash(message_id),
        payload=json.dumps(payload).encode(),
        flags=int(flags),
        revenue=round(e["revenue"] * MICROS),
        zone=e["zone"],
        locale=e["locale"],
        link=link,
    )


def choice_of(candidate: Candidate, arm: str) -> Choice:
    """What the decisions application could have answered."""
    n = len(candidate.arms)
    share = 1.0 if candidate.group == Group.HOLDOUT else 1 / n
    p = [float(a == NO_SEND) if candidate.group == Group.HOLDOUT else share for a in candidate.arms]
    return Choice(
        candidate.decision_id,
        arm,
        share,
        candidate.arms,
        p,
        [0.0] * n,
        [1.0] * n,
        seed_of(candidate.decision_id),
        "t@1",
    )


@dataclass
class World:
    """``n`` shards; partition p lives on shard p mod n. Everything goes through encoded records, as on disk."""

    n: int = 2
    now: int = T0
    shards: list[Shard] = field(default_factory=list)
    journals: list[list[bytes]] = field(default_factory=list)
    wire: deque[Letter] = field(default_factory=deque)
    changes: list[SegmentChanged] = field(default_factory=list)
    place: dict[int, int] = field(default_factory=dict)
    exported: dict[int, int] = field(default_factory=dict)
    """Shard -> the journal position before which it was told to forget what the warehouse has."""
    asked: list[Candidate] = field(default_factory=list)
    """Waiting for the decisions application."""
    under_way: list[str] = field(default_factory=list)
    """Decisions whose message waits for a receipt."""

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
            if isinstance(effect, SendLetter):
                self.wire.append(effect.letter)
            elif isinstance(effect, SegmentChanged):
                self.changes.append(effect)
            elif isinstance(effect, Decide):
                self.asked.append(effect.candidate)
            elif isinstance(effect, Deliver):
                self.under_way.append(effect.decision_id)
        return effects

    def send(self, *events: dict[str, Any]) -> None:
        """One request: a block for each shard concerned."""
        builders: dict[int, PartBuilder] = {}
        for e in events:
            key = known_key(e["user"]) if e["user"] else anonymous_key(e["anonymous"])
            shard = self.home(partition_of(key, SEED))
            add(builders.setdefault(shard, PartBuilder()), e)
        for shard, builder in builders.items():
            self.write(shard, Events(encode_block(merge(TENANT, [builder.build()]))))

    def deliver(self, *, again: bool = False) -> None:
        """Carry all letters to their targets until none is left; ``again`` repeats each one."""
        while self.wire:
            letter = self.wire.popleft()
            for _ in range(2 if again else 1):
                self.write(self.home(letter.target), LettersArrived([letter]))
            self.write(self.home(letter.source), LettersConfirmed([(letter.tenant, letter.source, letter.sequence)]))

    def tick(self, now: int | None = None) -> None:
        self.now = self.now if now is None else now
        for shard in range(self.n):
            self.write(shard, Tick())

    def publish(self, version: int, **predicates: Any) -> None:
        configs = [SegmentConfig(n, version, json.dumps(p)) for n, p in predicates.items()]
        for shard in range(self.n):
            self.write(shard, ConfigPublished(TENANT, version, configs))

    def publish_campaigns(self, version: int, *campaigns: Campaign, status: str = "live", **predicates: Any) -> None:
        """Campaigns and segments; three in ten users are holdout, three in ten uniform."""
        segments = [SegmentConfig(n, version, json.dumps(p)) for n, p in predicates.items()]
        configs = [CampaignConfig(c.name, version, status, to_json(c)) for c in campaigns]
        for shard in range(self.n):
            self.write(shard, ConfigPublished(TENANT, version, segments, configs, Experiment("salt", 0.3, 0.3)))

    def decide(self, pick: Callable[[Candidate], str]) -> None:
        """Answer every question to the decisions application; ``pick`` says which arm, "" lets it go unanswered."""
        asked, self.asked = self.asked, []
        for candidate in asked:
            arm = NO_SEND if candidate.group == Group.HOLDOUT else pick(candidate)
            if arm:
                self.write(self.home_of(candidate.decision_id), DecisionsMade(TENANT, [choice_of(candidate, arm)]))

    def deliver_messages(
        self, status: str = Verdict.ACCEPTED, detail: str = "", *, repeatable: bool = False
    ) -> list[str]:
        """Give every message under way its receipt; the send keys handed over."""
        under_way, self.under_way = self.under_way, []
        handed_over = []
        for decision in under_way:
            shard = self.home_of(decision)
            prepared = sending.prepare(self.shards[shard].tenant(TENANT), decision, self.now)
            if prepared is None:
                continue
            if isinstance(prepared, RenderRequest):
                handed_over.append(prepared.send_key)
                prepared = Receipt(prepared.send_key, status, "sink", "p1", detail, repeatable=repeatable)
            self.write(shard, Receipts(TENANT, [(decision, prepared)]))
        return handed_over

    def home_of(self, decision: str) -> int:
        """The shard that has a decision, else the first."""
        return next((i for i, s in enumerate(self.shards) if s.tenant(TENANT).loop.find(decision)), 0)

    def decisions(self, key: str) -> list[DecisionView]:
        """A user's candidacies, oldest first."""
        found = self.user(key)
        return found.candidacies[::-1] if found else []

    def account(self, campaign: str) -> Account:
        """A campaign's sums over all shards."""
        total = Account()
        for shard in self.shards:
            one = shard.tenant(TENANT).loop.accounts.get(campaign, Account())
            total.candidates += one.candidates
            total.sent += one.sent
            total.unknown += one.unknown
            total.no_send += one.no_send
            total.pending += one.pending
            total.refused += one.refused
            total.conversions += one.conversions
        return total

    def rewards(self) -> list[Reward]:
        return [r for shard in self.shards for r in shard.tenant(TENANT).loop.rewards.all()]

    def erase(self, key: str) -> None:
        self.write(self.home(partition_of(key, SEED)), Erase(TENANT, key))

    def user(self, key: str, as_of: int | None = None) -> UserView | None:
        """The user, following forwards."""
        for _ in range(10):
            shard = self.shards[self.home(partition_of(key, SEED))]
            view = inspection.user(shard, TENANT, key, as_of)
            if view is None or view.moved_to is None:
                return view
            key = view.moved_to
        raise AssertionError("forwards run in a circle")

    def records(self, shard: int) -> Iterator[tuple[int, Record]]:
        return ((i, decode_record(data)) for i, data in enumerate(self.journals[shard]))

    def replayed(self, shard: int) -> Shard:
        copy = Shard(shard)
        copy.apply(self.records(shard))
        copy.forget_exported(self.exported.get(shard, 0))
        return copy

    def check(self) -> None:
        """Invariants, and replay reproduces the state: run at every teardown."""
        for number, shard in enumerate(self.shards):
            try:
                inspection.check(shard)
            except InvariantError as error:
                raise with_story(error, self.records(number)) from None
            assert inspection.digest(self.replayed(number)) == inspection.digest(shard)
