"""Ten million events, a twentieth of them sent twice: every repeat dropped, nothing else; across a restart and a move.

Through the shard: 10 M events with repeats at known places (within a block, soon after, and from anywhere in the window);
two fifths in, a snapshot; at half, the shard is thrown away and recovered from snapshot and journal; at three quarters a
partition moves to another shard. Every verdict is compared with what is known, and so are all sums. `--http` adds a
smaller run over HTTP with kill -9 of a shard in the middle. States bytes an id.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from actors.journal import open_journal
from actors.shard import recovery
from actors.snapshots.store import SnapshotStore
from cluster.settings import load as load_settings
from tests.benchmarks import blocks, ours, report
from tests.benchmarks.load import http_request, paced
from tests.benchmarks.screen import say, table
from tests.support.stand import running
from whisperer.events.decoding import decode_block
from whisperer.events.parts import split
from whisperer.settings import Settings
from whisperer.shard.machine import Shard
from whisperer.shard.move import packing
from whisperer.shard.records import (
    RECORD_VERSION,
    Events,
    PartitionJoined,
    PartitionLeft,
    PartitionSwept,
    Record,
    RecordBody,
    encode_record,
)

BLOCK = 2_000
N_USERS = 100_000
SHARE = 0.05
MOVED = 17
"""The partition that moves."""
SNAPSHOT_AT, RESTART_AT, MOVE_AT = 0.4, 0.5, 0.75
GOAL_BYTES = 24


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--http", type=int, default=200_000, metavar="N", help="events of the run over HTTP; 0: none")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        figures: dict[str, Any] = {"shard": through_the_shard(Path(folder), options.events)}
        if options.http:
            figures["http"] = asyncio.run(over_http(Path(folder) / "data", options.http))
    rows = [
        [name, *(f[name] for f in figures.values())]
        for name in ("sent", "repeats", "dropped", "missed", "wrongly_dropped")
    ]
    print(table(("events", *figures), rows))
    print(f"\n{figures['shard']['bytes_an_id']} bytes an id (goal: under {GOAL_BYTES})\n")
    report.publish(
        "dedup", figures, options.json, share_of_repeats=SHARE, restart="snapshot + journal", moved_partitions=1
    )
    assert not any(f["missed"] or f["wrongly_dropped"] for f in figures.values()), "dedup was not exact"


@dataclass(slots=True)
class Sent:
    """What is sent, in order, and which of it is a repeat."""

    numbers: NDArray[np.int64]
    is_repeat: NDArray[np.bool_]

    @classmethod
    def plan(cls, n: int, seed: int = 11) -> Sent:
        """A twentieth repeats an earlier event: a third the one just before, a third one of the last 50,000, a third any.

        A repeat may repeat a repeat.
        """
        random = np.random.default_rng(seed)
        is_repeat = random.random(n) < SHARE
        is_repeat[0] = False
        place = np.arange(n)
        back = np.choose(
            random.integers(0, 3, n),
            (np.ones(n, np.int64), random.integers(1, 50_001, n), 1 + (random.random(n) * place).astype(np.int64)),
        )
        numbers = np.where(is_repeat, np.maximum(place - back, 0), place)
        # What an event repeats may itself be a repeat: follow until it is none.
        while True:
            followed = numbers[numbers]
            if (followed == numbers).all():
                return cls(numbers, is_repeat)
            numbers = followed

    def blocks(self) -> Iterator[tuple[int, int]]:
        for first in range(0, len(self.numbers), BLOCK):
            yield first, min(first + BLOCK, len(self.numbers))


@dataclass(slots=True)
class Verdicts:
    """What a shard said of events, beside what is known."""

    sent: int = 0
    repeats: int = 0
    dropped: int = 0
    missed: int = 0
    wrongly_dropped: int = 0

    def compare(self, is_repeat: NDArray[np.bool_], fresh: NDArray[np.bool_]) -> None:
        self.sent += len(is_repeat)
        self.repeats += int(is_repeat.sum())
        self.dropped += int((~fresh).sum())
        self.missed += int((is_repeat & fresh).sum())
        self.wrongly_dropped += int((~is_repeat & ~fresh).sum())


@dataclass(slots=True)
class Home:
    """A shard with its journal."""

    shard: Shard
    journal: Any
    verdicts: Verdicts = field(default_factory=Verdicts)

    def write(self, body: RecordBody, now: int, *, durably: bool = True) -> int:
        record = Record(RECORD_VERSION, self.journal.epoch, now, body)
        position = self.journal.append([encode_record(record)])[0] if durably else self.shard.position + 1
        self.shard.apply([(position, record)])
        return int(position)

    def take(self, block: bytes, is_repeat: NDArray[np.bool_], now: int) -> None:
        position = self.write(Events(block), now)
        everything = np.ones(len(is_repeat), np.bool_)
        self.verdicts.compare(is_repeat, self.shard.repeats.pop(position, everything))


def through_the_shard(folder: Path, n: int) -> dict[str, Any]:
    sent = Sent.plan(n)
    users = np.random.default_rng(3).integers(0, N_USERS, n)[sent.numbers]  # a repeat is of the same user
    settings = _settings(folder)
    store = SnapshotStore(settings.snapshots.uri, "shard-0000")
    here = Home(Shard(0, settings.dedup.max_ids), open_journal(settings.journal.url, 0))
    there = Home(Shard(1, settings.dedup.max_ids), open_journal(f"{settings.journal.url}-b", 1))
    now, marks, restart_s, n_replayed = blocks.NOW, {SNAPSHOT_AT, RESTART_AT, MOVE_AT}, 0.0, 0
    shard_of = [0] * 64
    for first, last in sent.blocks():
        now += 5
        for mark in sorted(m for m in marks if first >= m * n):
            marks.discard(mark)
            say(f"{first:,} of {n:,} events; {_NAMES[mark]}")
            if mark == SNAPSHOT_AT:
                store.save(recovery.capture(here.shard), {}, lsn=here.journal.end, epoch=here.journal.epoch)
            elif mark == RESTART_AT:
                here.journal.close()
                del here.shard
                found = recovery.recover(0, settings, store)
                here.shard, here.journal = found.shard, found.journal
                here.shard.repeats.clear()
                restart_s, n_replayed = found.seconds, found.n_replayed
            else:
                _move(here, there, now)
                shard_of[MOVED] = 1
        encoded = blocks.block(sent.numbers[first:last], users[first:last], now, traits=False)
        block = decode_block(encoded)
        home = np.array(shard_of)[block.events()["partition"]]
        for target, part in split(block, shard_of).items():
            mine = here if target == 0 else there
            mine.take(blocks.encode_block(part), sent.is_repeat[first:last][home == target], now)
    total = _sum(here.verdicts, there.verdicts)
    counters = [
        home.shard.tenants[blocks.TENANT].counters for home in (here, there) if blocks.TENANT in home.shard.tenants
    ]
    n_ids = len(here.shard.dedup) + len(there.shard.dedup)
    figures = {
        **msgspec.to_builtins(total),
        "counted": sum(c["events_accepted"] for c in counters),
        "ids_held": n_ids,
        "bytes_an_id": round((here.shard.dedup.nbytes + there.shard.dedup.nbytes) / n_ids, 1),
        "evicted": here.shard.dedup.n_evicted + there.shard.dedup.n_evicted,
        "records_replayed": n_replayed,
        "recovery_s": round(restart_s, 2),
        "events_at_the_new_home": there.verdicts.sent,
    }
    here.journal.close()
    there.journal.close()
    assert figures["counted"] == total.sent - total.repeats, figures
    return figures


_NAMES = {SNAPSHOT_AT: "snapshot", RESTART_AT: "restart", MOVE_AT: f"partition {MOVED} moves"}


def _settings(folder: Path) -> Settings:
    """The product's defaults, with room for every id: what is tested is exactness within the window."""
    return load_settings(folder, environment={"WHISPERER_DEDUP_MAX_IDS": "40000000"})


def _move(here: Home, there: Home, now: int) -> None:
    state = packing.extract(here.shard, blocks.TENANT, MOVED)
    here.write(PartitionLeft(blocks.TENANT, MOVED, 2, kept=True), now)
    there.write(PartitionJoined(blocks.TENANT, MOVED, 2, state), now)
    here.write(PartitionSwept(blocks.TENANT, MOVED, N_USERS), now)


def _sum(*verdicts: Verdicts) -> Verdicts:
    return Verdicts(**{name: sum(getattr(v, name) for v in verdicts) for name in Verdicts.__slots__})


async def over_http(data_dir: Path, n: int) -> dict[str, Any]:
    """Batches at a steady rate with repeats; a shard is killed in the middle; what was not told yes is sent again."""
    say(f"{n:,} events over HTTP, with kill -9 of a shard")
    sent = Sent.plan(n, seed=12)
    users = np.random.default_rng(4).integers(0, 1_000, n)[sent.numbers]
    with running(data_dir) as stand:
        tenant = stand.tenant("bench")
        key = ours.authorization(tenant)
        requests = [
            http_request("/v1/batch", _batch(sent.numbers[at : at + ours.BATCH], users[at : at + ours.BATCH]), key)
            for at in range(0, n, ours.BATCH)
        ]
        killing = asyncio.create_task(_kill_midway(stand, len(requests) / 2 / 25))
        answers = await paced(stand.port, requests, 25)
        again = [request for request, answer in zip(requests, answers, strict=True) if answer.status != 200]
        await killing
        for request in again:
            (answer,) = await paced(stand.port, [request], 1, connections=1)
            assert answer.status == 200, answer
        counts = stand.settled()["tenants"][tenant.name]
    n_repeats = int(sent.is_repeat.sum())
    return {
        "sent": n,
        "repeats": n_repeats,
        "dropped": counts["events_duplicate"],
        "missed": max(0, counts["events_accepted"] - (n - n_repeats)),
        "wrongly_dropped": max(0, n - n_repeats - counts["events_accepted"]),
        "requests_sent_again": len(again),
    }


async def _kill_midway(stand: Any, after_s: float) -> None:
    await asyncio.sleep(after_s)
    await asyncio.to_thread(stand.kill_shard, 0)


def _batch(numbers: NDArray[np.int64], users: NDArray[np.int64]) -> bytes:
    events = [
        {"type": "track", "event": "Opened", "userId": f"load-{user}", "messageId": blocks.message_id(number).decode()}
        for number, user in zip(numbers.tolist(), users.tolist(), strict=True)
    ]
    return msgspec.json.encode({"batch": events})


if __name__ == "__main__":
    began = time.monotonic()
    main()
    say(f"took {time.monotonic() - began:.0f} s")
