"""How long one record holds a shard: the worst that can be asked of each kind, applied to a shard of full users.

A shard applies its records one after another, for all tenants: what one takes, everybody waits. The design allows 50 ms.
One shard in this process, no disk; records are encoded and read back as from a journal. CPU time of this thread, of the
longest single record of each case, in ms, with the letters it made and their bytes.
"""

from __future__ import annotations

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from actors.shard import garbage
from actors.shard.weighing import batches, cut
from tests.benchmarks import report
from tests.benchmarks.screen import say, table
from tests.support.shard_world import SEED, T0, TENANT, add, event
from tests.unit.whisperer.shard.campaigns import BY_EVENT
from whisperer.events.block import Payloads, encode_block
from whisperer.events.parts import PartBuilder, merge
from whisperer.ids import partition_of
from whisperer.journeys.campaign import to_json
from whisperer.profiles.state import ProfileState
from whisperer.shard.effects import SendLetter
from whisperer.shard.machine import Shard
from whisperer.shard.move import packing
from whisperer.shard.records import (
    RECORD_VERSION,
    CampaignConfig,
    Claim,
    ConfigPublished,
    Erase,
    EraseLinked,
    Experiment,
    Letter,
    LettersArrived,
    LettersConfirmed,
    MergeIn,
    PartitionJoined,
    PartitionLeft,
    PartitionPart,
    PartitionSwept,
    Record,
    RecordBody,
    SegmentConfig,
    Tick,
    decode_record,
    encode_record,
)
from whisperer.shard.warm import warm

BOUND_MS = 50
MOST_EVENTS = 2_500
MOST_LETTERS = 500
FULL = {f"trait_{i:03}": "x" * 600 for i in range(100)}
"""Traits that nearly fill a profile."""


class Stand:
    """One shard that lives from records, with its letters to itself."""

    def __init__(self) -> None:
        self.shard = Shard(0)
        self.now = T0
        self.position = 0
        self.wire: deque[Letter] = deque()
        self.n_letters = self.n_bytes = 0

    def apply(self, body: RecordBody) -> float:
        """ms that a record takes; its letters wait."""
        data = encode_record(Record(RECORD_VERSION, 1, self.now, body))
        began = time.thread_time()
        effects = self.shard.apply([(self.position, decode_record(data))])
        took = (time.thread_time() - began) * 1e3
        self.position += 1
        made = [effect.letter for effect in effects if isinstance(effect, SendLetter)]
        self.wire.extend(made)
        self.n_letters += len(made)
        self.n_bytes += sum(len(encode_record(Record(RECORD_VERSION, 1, 0, LettersArrived([m])))) for m in made)
        return took

    def send(self, events: list[dict[str, Any]]) -> float:
        """The longest record that a shard makes of them (:mod:`actors.shard.weighing`)."""
        builder = PartBuilder()
        for one in events:
            add(builder, one)
        block = merge(TENANT, [builder.build()])
        return max(map(self.apply, cut(self.shard, Payloads(block), encode_block(block))))

    def deliver(self, at_once: int = MOST_LETTERS) -> float:
        """The longest record until no letter waits."""
        longest = 0.0
        while self.wire:
            letters = [self.wire.popleft() for _ in range(min(at_once, len(self.wire)))]
            for batch in batches(self.shard, letters):
                longest = max(longest, self.apply(LettersArrived(batch)))
            self.apply(LettersConfirmed([(m.tenant, m.source, m.sequence) for m in letters]))
        return longest

    def publish(self, *predicates: dict[str, Any], n_campaigns: int = 1) -> float:
        configs = [SegmentConfig(f"s{i}", self.position + 1, json.dumps(p)) for i, p in enumerate(predicates)]
        campaigns = [
            CampaignConfig(name, self.position + 1, "live", to_json(msgspec.structs.replace(BY_EVENT, name=name)))
            for name in (f"{BY_EVENT.name}{i or ''}" for i in range(n_campaigns))
        ]
        return self.apply(ConfigPublished(TENANT, self.position + 1, configs, campaigns, Experiment("salt")))

    def fill(self, users: list[str], **more: Any) -> None:
        """Full profiles, few events a block, as bytes in flight allow."""
        for first in range(0, len(users), 10):
            self.send([event(user, type="identify", traits=FULL, **more) for user in users[first : first + 10]])


def tiny(users: Iterator[str] | list[str]) -> list[dict[str, Any]]:
    return [
        event(user, type="identify", traits={"trait_000": i}, at=T0 + i, received=T0) for i, user in enumerate(users)
    ]


PREDICATES = [
    {"all": [{"trait": f"trait_{i:03}", "op": "eq", "value": "pro"}, {"feature": "events_30d", "op": "gt", "value": i}]}
    for i in range(20)
]


MOST_PREDICATES = [
    {
        "any": [
            {"trait": f"trait_{i % 100:03}", "op": "eq", "value": f"{i}"},
            {"trait": "trait_000", "op": "eq", "value": i},
            {"feature": "events_30d", "op": "gt", "value": i},
            {"event": "Looked", "count": i + 1, "days": i % 30 + 1},
            {"seen": "not_within", "days": i + 1},
        ]
    }
    for i in range(200)
]
"""A thousand conditions, which is as many as there may be."""


def identifies_of_one_full_user(stand: Stand) -> float:
    stand.fill(["ann"])
    return stand.send(tiny(["ann"] * MOST_EVENTS))


def identifies_of_one_full_user_with_segments(stand: Stand) -> float:
    stand.publish(*PREDICATES[:3])
    return identifies_of_one_full_user(stand)


def identifies_of_one_full_user_with_most_segments(stand: Stand) -> float:
    stand.publish(*MOST_PREDICATES)
    return identifies_of_one_full_user(stand)


def events_of_one_user_that_trigger(stand: Stand) -> float:
    stand.publish(*PREDICATES[:3])
    stand.fill(["ann"], locale="en")
    return stand.send([event("ann", name="Looked", at=T0 + i, received=T0) for i in range(MOST_EVENTS)])


def identifies_of_full_users(stand: Stand) -> float:
    users = [f"user-{i}" for i in range(MOST_EVENTS)]
    stand.fill(users)
    return stand.send(tiny(users))


def identifies_of_full_users_with_segments(stand: Stand) -> float:
    stand.publish(*PREDICATES[:3])
    return identifies_of_full_users(stand)


def identifies_of_full_users_with_most_segments(stand: Stand) -> float:
    stand.publish(*MOST_PREDICATES)
    return identifies_of_full_users(stand)


def identifies_that_fill_a_profile(stand: Stand) -> float:
    """500 KB of new names and values, which is what one request may bring."""
    longest = 0.0
    for at in range(4):
        traits = [{f"t{at}-{i}-{j}": "y" * 300 for j in range(50)} for i in range(25)]
        longest = max(longest, stand.send([event("ann", type="identify", traits=t) for t in traits]))
    return longest


def events_of_full_users_that_trigger(stand: Stand) -> float:
    stand.publish()
    users = [f"user-{i}" for i in range(MOST_EVENTS)]
    stand.fill(users, locale="en")
    return stand.send([event(user, name="Looked", at=T0) for user in users])


def events_of_full_users_that_trigger_many(stand: Stand) -> float:
    stand.publish(n_campaigns=50)
    users = [f"user-{i}" for i in range(MOST_EVENTS)]
    stand.fill(users, locale="en")
    return stand.send([event(user, name="Looked", at=T0) for user in users])


def aliases_in_a_chain(stand: Stand) -> float:
    took = stand.send([event(f"k{i + 1}", type="alias", previous=f"k{i}") for i in range(1_200)])
    return max(took, stand.deliver())


def aliases_in_a_chain_backwards(stand: Stand) -> float:
    took = stand.send([event(f"k{i + 1}", type="alias", previous=f"k{i}") for i in reversed(range(1_200))])
    return max(took, stand.deliver())


def joined_ids(stand: Stand) -> float:
    took = stand.send([event("ann", anonymous=f"device-{i}") for i in range(MOST_EVENTS)])
    return max(took, stand.deliver())


def claims_of_a_user_of_many_names(stand: Stand) -> float:
    stand.send([event("ann", type="alias", previous=f"p{i}") for i in range(500)])
    stand.deliver()
    took = stand.send([event("ann", anonymous=f"device-{i}") for i in range(499)])
    return max(took, stand.deliver())


def events_of_merged_users(stand: Stand) -> float:
    for first in range(0, 900, 100):
        stand.send([event("ann", anonymous=f"device-{i}") for i in range(first, first + 100)])
    stand.deliver()
    took = stand.send([event(anonymous=f"device-{i % 900}") for i in range(MOST_EVENTS)])
    return max(took, stand.deliver())


def merges_of_full_users(stand: Stand) -> float:
    """Ten profiles of 64 KB in one record."""
    longest = 0.0
    stand.fill([f"p{i}" for i in range(40)])
    for i in range(0, 40, 2):
        stand.send([event(f"p{i}", type="alias", previous=f"p{i + 1}")])
    return max(longest, stand.deliver(10))


def letters_of_all_kinds(stand: Stand) -> float:
    state = ProfileState(T0, T0, 1, history=[("Viewed", 0, 1), ("Viewed", T0 // 86_400_000, 1)])
    letters = []
    for i in range(MOST_LETTERS):
        user = f"u:user-{i}"
        body = (
            Claim(f"a:device-{i}", user, []),
            MergeIn(user, f"a:device-{i}", T0, state),
            EraseLinked(user, T0 + 1),
        )[i % 3]
        key = f"a:device-{i}" if isinstance(body, Claim) else user
        letters.append(Letter(TENANT, 1, partition_of(key, SEED), i + 1, body))
    return stand.apply(LettersArrived(letters))


def erasure_of_a_user_of_many_ids(stand: Stand) -> float:
    for first in range(0, 1_000, 100):
        stand.send([event("ann", anonymous=f"device-{i}") for i in range(first, first + 100)])
    stand.deliver()
    stand.now += 1
    took = stand.apply(Erase(TENANT, "u:ann"))
    return max(took, stand.deliver())


def erasures_that_others_ask_for(stand: Stand) -> float:
    """Letters for ten users of a thousand ids each."""
    users = [f"user-{u}" for u in range(10)]
    for user in users:
        for first in range(0, 1_000, 100):
            stand.send([event(user, anonymous=f"{user}-device-{i}") for i in range(first, first + 100)])
        stand.deliver()
    stand.now += 1
    for i, user in enumerate(users):
        stand.wire.append(
            Letter(TENANT, 65, partition_of(f"u:{user}", SEED), i + 1, EraseLinked(f"u:{user}", stand.now))
        )
    return stand.deliver()


def segments_published_over_many_users(stand: Stand) -> float:
    users = [f"user-{i}" for i in range(60_000)]
    for first in range(0, len(users), MOST_EVENTS):
        stand.send(
            [event(u, type="identify", traits={"plan": "pro", "n": 1}) for u in users[first : first + MOST_EVENTS]]
        )
    took = stand.publish(*({"trait": "plan", "op": "eq", "value": f"{i}"} for i in range(100)))
    for _ in range(4):
        stand.now += 1
        took = max(took, stand.apply(Tick()))
    return took


def segments_published_over_full_users(stand: Stand) -> float:
    stand.fill([f"user-{i}" for i in range(2_000)])
    took = stand.publish(*PREDICATES)
    stand.now += 1
    return max(took, stand.apply(Tick()))


def a_partition_that_comes(stand: Stand) -> float:
    """All parts of a partition of 300 full users, 100 a part, and what else there is of it."""
    other = Stand()
    place = partition_of("u:user-0", SEED)
    users = [u for u in (f"user-{i}" for i in range(30_000)) if partition_of(f"u:{u}", SEED) == place][:300]
    other.fill(users)
    copying = packing.Copying(other.shard, TENANT, place)
    rows, longest = copying.changed(), 0.0
    for number, first in enumerate(range(0, len(rows), 100)):
        part = copying.pack(rows[first : first + 100])
        longest = max(longest, stand.apply(PartitionPart(TENANT, place, 2, number, part)))
    return max(longest, stand.apply(PartitionJoined(TENANT, place, 2, copying.last())))


def a_partition_that_goes(stand: Stand) -> float:
    place = partition_of("u:user-0", SEED)
    users = [u for u in (f"user-{i}" for i in range(200_000)) if partition_of(f"u:{u}", SEED) == place]
    stand.send([event(user) for user in users])
    took = stand.apply(PartitionLeft(TENANT, place, 2, kept=True))
    return max(took, stand.apply(PartitionSwept(TENANT, place, 1_000)))


CASES: tuple[Callable[[Stand], float], ...] = (
    identifies_of_one_full_user,
    identifies_of_one_full_user_with_segments,
    identifies_of_one_full_user_with_most_segments,
    events_of_one_user_that_trigger,
    identifies_of_full_users,
    identifies_of_full_users_with_segments,
    identifies_of_full_users_with_most_segments,
    identifies_that_fill_a_profile,
    events_of_full_users_that_trigger,
    events_of_full_users_that_trigger_many,
    aliases_in_a_chain,
    aliases_in_a_chain_backwards,
    joined_ids,
    claims_of_a_user_of_many_names,
    events_of_merged_users,
    merges_of_full_users,
    letters_of_all_kinds,
    erasure_of_a_user_of_many_ids,
    erasures_that_others_ask_for,
    segments_published_over_many_users,
    segments_published_over_full_users,
    a_partition_that_comes,
    a_partition_that_goes,
)


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="CASE", help="these cases, by a part of their names")
    options = parser.parse_args()
    warm()
    identifies_of_full_users(Stand())  # what is compiled at first use
    garbage.keep_away()
    found = []
    for case in CASES:
        if options.only and not any(part in case.__name__ for part in options.only):
            continue
        say(case.__name__.replace("_", " "))
        stand = Stand()
        took = case(stand)
        garbage.set_aside()
        found.append(
            {
                "case": case.__name__,
                "longest_ms": round(took, 1),
                "within": took <= BOUND_MS,
                "letters": stand.n_letters,
                "letter_bytes": stand.n_bytes,
            }
        )
    found.sort(key=lambda one: -float(one["longest_ms"]))
    print(table(tuple(found[0]), [tuple(one.values()) for one in found]))
    report.publish("records", {"cases": found, "bound_ms": BOUND_MS}, options.json)


if __name__ == "__main__":
    main()
