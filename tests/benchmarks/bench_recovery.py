"""How soon a shard of a million users with a million-event tail serves again, on one core.

Builds the state through the shard itself, snapshots it, journals the tail, and times what a restarted actor does before
it answers: newest snapshot read, tail replayed. Also states the size of the snapshot and how long taking it stops the
shard. `--scales` adds smaller sizes for the curve.
"""

from __future__ import annotations

import gc
import json
import tempfile
import time
from pathlib import Path

import msgspec
import numpy as np

from actors import recovery
from actors.installation import Settings
from actors.journal import open_journal
from actors.snapshots import SnapshotStore
from tests.benchmarks import report
from whisperer.events.block import BLOCK_VERSION, EventBlock, encode_block
from whisperer.events.types import EventType
from whisperer.ids import known_key, message_hash, partition_of, tenant_seed
from whisperer.shard.machine import Shard
from whisperer.shard.records import RECORD_VERSION, ConfigPublished, Events, Record, SegmentConfig, encode_record

TENANT = "tn_bench"
SEED = tenant_seed(TENANT)
BLOCK = 5_000
NOW = 1_795_000_000_000
NAMES = ["Feature Used", "Report Exported", "Order Completed", "Signed In"]
SEGMENTS = [
    SegmentConfig("busy", 1, json.dumps({"event": "Feature Used", "count": 3, "days": 7})),
    SegmentConfig("quiet", 1, json.dumps({"seen": "not_within", "days": 14})),
]


def block(first: int, users: list[int], now: int) -> bytes:
    """Events number ``first`` and on, one for each of ``users``, as a gateway would send them."""
    n = len(users)
    keys = [known_key(f"load-{user:09d}") for user in users]
    ids = [f"{number:032x}" for number in range(first, first + n)]
    payloads = [
        b'{"type":"track","event":"%s","userId":"%s","messageId":"%s","properties":{"feature":"export","n":%d,"note":"%s"}}'
        % (NAMES[i % 4].encode(), key[2:].encode(), message_id.encode(), i, b"x" * 270)
        for i, (key, message_id) in enumerate(zip(keys, ids, strict=True))
    ]
    timestamp = np.full(n, now, np.int64)
    return encode_block(
        EventBlock(
            version=BLOCK_VERSION,
            tenant=TENANT,
            received_at=now,
            partition=np.array([partition_of(key, SEED) for key in keys], np.uint16).tobytes(),
            kind=bytes([int(EventType.TRACK)]) * n,
            flags=bytes(n),
            timestamp=timestamp.tobytes(),
            received=timestamp.tobytes(),
            revenue=np.zeros(n, np.int64).tobytes(),
            message_hash=b"".join(map(message_hash, ids)),
            name=(np.arange(n) % 4).astype(np.uint16).tobytes(),
            names=NAMES,
            zone=bytes(2 * n),
            zones=[""],
            locale=bytes(2 * n),
            locales=[""],
            keys=keys,
            links=[],
            message_ids=ids,
            lengths=np.array([len(p) for p in payloads], np.uint32).tobytes(),
            payload=b"".join(payloads),
        )
    )


def measure(folder: Path, n_users: int, n_tail: int) -> dict[str, object]:
    settings = msgspec.convert(
        {
            "cluster": {"shards": 1, "cpu_shard": 0.1, "cpu_directory": 0.1},
            "journal": {"url": f"file://{folder}/journal", "segment_bytes": 64 << 20},
            "snapshots": {"interval_s": 300, "uri": f"file://{folder}/snapshots", "keep": 2},
            "warehouse": {"uri": f"file://{folder}/warehouse", "flush_interval_s": 60},
            "dedup": {"max_ids": 20_000_000, "window_h": 24},
        },
        Settings,
    )
    store = SnapshotStore(settings.snapshots.uri, "shard-0000")
    shard = Shard(0)
    journal = open_journal(settings.journal.url, 0)
    random = np.random.default_rng(7)
    written = 0

    def write(users: list[int], now: int) -> None:
        nonlocal written
        record = Record(RECORD_VERSION, journal.epoch, now, Events(block(written, users, now)))
        written += len(users)
        (position,) = journal.append([encode_record(record)])
        shard.apply([(position, record)])

    config = Record(RECORD_VERSION, journal.epoch, NOW, ConfigPublished(TENANT, 1, SEGMENTS))
    (position,) = journal.append([encode_record(config)])
    shard.apply([(position, config)])
    began = time.perf_counter()
    for first in range(0, n_users, BLOCK):
        write(list(range(first, min(first + BLOCK, n_users))), NOW + first)
    build_s = time.perf_counter() - began
    began = time.perf_counter()
    tables = recovery.capture(shard)
    capture_s = time.perf_counter() - began
    began = time.perf_counter()
    store.save(tables, {}, lsn=journal.end, epoch=journal.epoch)
    save_s = time.perf_counter() - began
    del tables
    for _ in range(0, n_tail, BLOCK):
        write(random.integers(0, n_users, BLOCK).tolist(), NOW + n_users)
    people = shard.tenants[TENANT].people
    n_bytes = {"columns": people.table.nbytes, "history": people.history.nbytes, "timeline": people.timeline.nbytes}
    dedup = shard.dedup.nbytes / len(shard.dedup)
    journal.close()
    shard = Shard(0)  # the built one is let go
    gc.collect()
    recovered = recovery.recover(0, settings, store)
    assert recovered.shard.tenants[TENANT].n_users() == n_users
    assert recovered.shard.tenants[TENANT].counters["events_accepted"] == n_users + n_tail
    recovered.journal.close()
    return {
        "users": n_users,
        "tail_events": n_tail,
        "recovery_s": round(recovered.seconds, 2),
        "apply_us_per_event": round(build_s / n_users * 1e6, 2),
        "snapshot_capture_s": round(capture_s, 2),
        "snapshot_save_s": round(save_s, 2),
        "snapshot_mib": round(sum(f.stat().st_size for f in folder.rglob("*.arrow")) / 2**20),
        "bytes_a_user": {name: round(size / n_users) for name, size in n_bytes.items()},
        "dedup_bytes_an_id": round(dedup, 1),
    }


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--tail", type=int, default=1_000_000)
    parser.add_argument("--scales", type=int, nargs="*", default=[100_000], help="smaller sizes for the curve")
    options = parser.parse_args()
    curve = []
    for n_users in [*options.scales, options.users]:
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            curve.append(measure(Path(folder), n_users, min(options.tail, n_users)))
    report.publish("recovery", {"curve": curve}, options.json, durability="file journal, Arrow snapshot on local disk")


if __name__ == "__main__":
    main()
