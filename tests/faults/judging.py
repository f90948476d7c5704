"""Was everything acknowledged counted, once? Asked of the shards, user by user, and of the warehouse, id by id.

Shards say how many events each user has and what they brought (two counters that every step of the path must agree on).
The warehouse holds a row for every event that counted, with its messageId: DuckDB finds the missing and the repeated.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import duckdb
import httpx

from actors.warehouse import Warehouse
from cluster.launch import installation
from tests.faults import flood
from tests.faults.counted_load import CountedLoad
from tests.support.stand import Stand, Tenant

EXPORTED_WITHIN_S = 120.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """``problems`` are sentences about what else does not add up; empty in a good run."""

    acknowledged: int
    lost: int
    doubled: int
    problems: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)


def judge(stand: Stand, tenant: Tenant, load: CountedLoad, *, with_warehouse: bool = True) -> Verdict:
    """Compare what clients were told with what is counted, now that no client sends any more."""
    told = load.told
    may_be_there: Counter[str] = Counter(user for request in told.open for user in request.users)
    open_ids = {id_ for request in told.open for id_ in request.ids}
    counts = tenant.counts()
    lost = doubled = 0
    for user in told.acknowledged | may_be_there:
        profile = tenant.user(user)
        counted = 0 if profile is None else profile["event_counts"]["Clicked"]
        revenue = 0 if profile is None else profile["features"]["revenue_micros"] // 1_000_000
        surely, most = told.acknowledged[user], told.acknowledged[user] + may_be_there[user]
        lost += max(0, surely - min(counted, revenue))
        doubled += max(0, max(counted, revenue) - most)
    problems = []
    total = counts["events_accepted"]
    least = told.n_events + len(told.others)
    if not least <= total <= least + len(open_ids):
        problems.append(f"shards count {total} in all, clients were told {least}")
    if told.open:
        problems.append(f"{len(open_ids)} events were never answered")
    ids = told.ids | told.others
    rows = warehouse_rows(stand, tenant) if with_warehouse else Counter(ids)
    missing = len(ids - rows.keys())
    repeated = sum(n - 1 for n in rows.values())
    unsent = len(rows.keys() - ids - open_ids)
    if unsent:
        problems.append(f"the warehouse has {unsent} events that nobody sent")
    return Verdict(
        told.n_events,
        max(lost, missing),
        max(doubled, repeated),
        problems,
        {
            "by_shards": {"counted": total, "duplicates_dropped": counts["events_duplicate"], "lost": lost, "doubled": doubled},
            "by_warehouse": {"rows": sum(rows.values()), "lost": missing, "doubled": repeated},
        },
    )  # fmt: skip


def judge_requests(stand: Stand, tenant: Tenant, runs: dict[str, flood.Told]) -> Verdict:
    """The same of floods, by prefix of their messageIds: too many ids to hold, so DuckDB counts them by request.

    A request whose number of events, sum of places and sum of their squares are right has each event once; of the
    others the distinct ids are counted.
    """
    with duckdb.connect(config={"memory_limit": "8GB"}) as connection:
        events = _warehouse(stand, tenant, EXPORTED_WITHIN_S * 3, connection)
        parts = events.project(
            "split_part(message_id, '-', 1) AS prefix, split_part(message_id, '-', 2)::BIGINT AS number, "
            "split_part(message_id, '-', 3)::BIGINT AS place"
        )
        requests = parts.aggregate(
            "prefix, number, count(*), sum(place)::BIGINT, sum(place * place)::BIGINT"
        ).fetchall()
        stored = {(prefix, number): (rows, flood.BATCH) for prefix, number, rows, *_ in requests}
        odd = [(prefix, number) for prefix, number, *sums in requests if tuple(sums) != _WHOLE]
        for prefix in {prefix for prefix, _ in odd}:
            numbers = ", ".join(str(number) for other, number in odd if other == prefix)
            some = parts.filter(f"prefix = '{prefix}' AND number IN ({numbers})")
            for number, rows, ids in some.aggregate("number, count(*), count(DISTINCT place)").fetchall():
                stored[prefix, number] = rows, ids
    told = [(prefix, number) for prefix, run in runs.items() for number in run.acknowledged]
    n_open = sum(len(run.open) for run in runs.values()) * flood.BATCH
    lost = sum(flood.BATCH - stored.get(request, (0, 0))[1] for request in told)
    doubled = sum(rows - ids for rows, ids in stored.values())
    n_told = len(told) * flood.BATCH
    return Verdict(
        n_told,
        lost,
        doubled,
        figures={"acknowledged": n_told, "open": n_open, "rows": sum(rows for rows, _ in stored.values())},
    )


_PLACES = range(flood.BATCH)
_WHOLE = len(_PLACES), sum(_PLACES), sum(place * place for place in _PLACES)


def warehouse_rows(stand: Stand, tenant: Tenant) -> Counter[str]:
    """How many rows each messageId has in the warehouse, once everything journaled until now is in it."""
    rows = _warehouse(stand, tenant, EXPORTED_WITHIN_S)
    return Counter(dict(rows.aggregate("message_id, count(*)").fetchall()))


def warehouse_rows_of(stand: Stand, tenant: Tenant) -> dict[str, int]:
    """How many events of each user key the warehouse has, once everything journaled until now is in it."""
    return dict(_warehouse(stand, tenant, EXPORTED_WITHIN_S * 3).aggregate("user_key, count(*)").fetchall())


def _warehouse(
    stand: Stand, tenant: Tenant, timeout_s: float, connection: duckdb.DuckDBPyConnection | None = None
) -> duckdb.DuckDBPyRelation:
    """The tenant's events in DuckDB, once everything journaled until now is there."""
    ends = [shard["journal_end"] for shard in stand.settled()["shards"]]
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            exported = [shard.get("exported", -1) for shard in stand.status()["shards"]]
        except httpx.HTTPError:
            exported = []
        if len(exported) == len(ends) and all(now >= end for now, end in zip(exported, ends, strict=True)):
            break
        assert time.monotonic() < deadline, f"not in the warehouse within {timeout_s} s: {exported} of {ends}"
        time.sleep(0.2)
    _, settings = installation.load(stand.data_dir).configured()
    return Warehouse(settings.warehouse.uri).duckdb_relation(tenant.id, connection=connection)
