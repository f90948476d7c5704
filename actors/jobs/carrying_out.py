"""Carry out each task, in the process that does it: the only module of the room that reads the warehouse.

Guarantees: the answer to a question that a compaction or an erasure overtook comes from the new files; nothing of an
answer is yielded before that is settled. Memory is DuckDB's bound and a few pieces, however long the answer.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from actors.jobs.tasks import (
    Analysis,
    DaysOfLift,
    DecisionAudit,
    Deliveries,
    DeliveryCounts,
    EngagementByScore,
    Export,
    QualityByArm,
    Simulation,
    StoredEvents,
    Task,
    UserHistory,
)
from actors.warehouse import DATASETS, StoredEvent, Warehouse
from actors.warehouse.datasets import EVENTS
from whisperer.ids import TenantId, UserKey

PIECE_BYTES = 64 << 10

_json, _msgpack = msgspec.json.Encoder().encode, msgspec.msgpack.Encoder().encode


def carry_out(task: Task) -> Iterator[bytes]:
    """Yield the pieces of the task's answer."""
    match task:
        case UserHistory(warehouse, tenant, keys):
            yield from _together(_history(_opened(warehouse), tenant, keys))
        case DecisionAudit(warehouse, tenant, decision_id):
            yield _msgpack(_opened(warehouse).lookup_decision(tenant, decision_id))
        case StoredEvents(warehouse, tenant, shard, positions):
            found = _opened(warehouse).lookup(tenant, shard, positions)
            yield _msgpack([None if e is None else (e.message_id, e.received_at, e.payload.encode()) for e in found])
        case DaysOfLift(warehouse, tenant, campaign, until):
            from actors.warehouse.lift_days import closed_by_day
            from whisperer.journeys.campaign import from_json

            days, conflicted = closed_by_day(_opened(warehouse), tenant, from_json(campaign), until)
            rows = [(day, group, *map(str, dataclasses.astuple(tally))) for day, group, tally in days]
            yield _msgpack((rows, conflicted))
        case Deliveries(warehouse, tenant, query):
            from actors.warehouse.deliveries import page_of_deliveries

            yield _msgpack(page_of_deliveries(_opened(warehouse), tenant, query))
        case DeliveryCounts(warehouse, tenant, since, until):
            from actors.warehouse.deliveries import count_deliveries

            yield _msgpack(count_deliveries(_opened(warehouse), tenant, since, until))
        case QualityByArm(warehouse, tenant, campaign, since):
            from actors.warehouse.engagement import scores_by_arm

            yield _msgpack(scores_by_arm(_opened(warehouse), tenant, campaign, since))
        case EngagementByScore(warehouse, tenant, since):
            from actors.warehouse.engagement import engagement_by_score

            yield _msgpack(engagement_by_score(_opened(warehouse), tenant, since))
        case Export(task=export):
            from actors.exports.process import carry_out as write
            from actors.exports.record import encode_progress

            yield from map(encode_progress, write(export, _opened(export.warehouse)))
        case Analysis(warehouse, tenant, question, now, tails):
            from actors.warehouse.analysis import analysed

            yield _json(analysed(_opened(warehouse), tenant, question, now, tails))
        case Simulation(task=simulation):
            from actors.simulation.process import carry_out as simulate

            simulate(simulation)


@functools.lru_cache(maxsize=1)
def _opened(uri: str) -> Warehouse:
    """Open the warehouse, and keep it with what it read of the catalog: the next job reads only what is new."""
    return Warehouse(uri)


def _history(warehouse: Warehouse, tenant: TenantId, keys: list[UserKey]) -> Iterator[bytes]:
    yield b'"events":'
    yield from _array(_event(event) for batch in warehouse.stream_events(tenant, keys) for event in batch)
    for name in DATASETS:
        if name != EVENTS.name:
            yield b',"%s":' % name.encode()
            yield from _array(row for batch in warehouse.stream_log(tenant, name, keys) for row in batch)


def _array(values: Iterable[Any]) -> Iterator[bytes]:
    before = b"["
    for value in values:
        yield before + _json(value)
        before = b","
    yield b"]" if before == b"," else b"[]"


def _event(row: StoredEvent) -> dict[str, Any]:
    return {
        "type": row.type,
        "event": row.event,
        "user_key": row.user_key,
        "timestamp": _iso(row.timestamp),
        "received_at": _iso(row.received_at),
        "message_id": row.message_id,
        "sent": msgspec.Raw(row.payload.encode()),
    }


def _iso(ms: int) -> str | None:
    if ms < 0:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _together(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join pieces to about :data:`PIECE_BYTES`; one that is larger by itself goes out as it is."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= PIECE_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if held:
        yield b"".join(held)
