"""Two public event files imported over HTTP and compared, user by user, with what DuckDB computes from the files."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pyarrow.parquet as pq

from tests.support.stand import ROOT, SHARED, Stand, Tenant

ZONE = "Z"


@dataclass(frozen=True)
class Dataset:
    """``files``: (path below ../shared/data, import map). ``events``: SQL giving user, name, at (ms), micros."""

    name: str
    files: tuple[tuple[str, str], ...]
    events: str


STARBUCKS = Dataset(
    "starbucks",
    (("starbucks_rewards/transcript.parquet", "starbucks_rewards.map.json"),),
    """
    select person as "user", event as name, 1767225600000 + time::bigint * 3600000 as at_ms,
           coalesce(round(amount::decimal(18, 6) * 1000000), 0)::bigint as micros
    from '{0}'
    """,
)

_RETAIL = """
    select CustomerID::varchar as "user", 'Purchase' as name, epoch_ms(InvoiceDate) as at_ms,
           (Quantity::decimal(18, 0) * UnitPrice::decimal(18, 6) * 1000000)::bigint as micros
    from '{}' where CustomerID is not null
"""

ONLINE_RETAIL = Dataset(
    "retail",
    (
        ("online_retail/online_retail_2009_2010.parquet", "online_retail_2009_2010.map.json"),
        ("online_retail/online_retail_2010_2011.parquet", "online_retail_2010_2011.map.json"),
    ),
    _RETAIL.replace("{}", "{0}")
    + " and InvoiceDate < timestamp '2010-12-01' union all "
    + _RETAIL.replace("{}", "{1}"),
)

DATASETS = (STARBUCKS, ONLINE_RETAIL)


def present() -> bool:
    return all((SHARED / "data" / path).exists() for dataset in DATASETS for path, _ in dataset.files)


def files_of(dataset: Dataset, folder: Path, n_rows: int | None) -> list[Path]:
    """The data set's files, or their first ``n_rows`` rows in ``folder``."""
    paths = [SHARED / "data" / path for path, _ in dataset.files]
    if n_rows is None:
        return paths
    slices = []
    for path in paths:
        piece = folder / path.name
        pq.write_table(pq.read_table(path).slice(0, n_rows), piece)
        slices.append(piece)
    return slices


def expected(dataset: Dataset, files: list[Path]) -> tuple[dict[str, dict[str, Any]], int]:
    """User -> counts by name, revenue, first and last seen, windows as of the end; and the end (ms)."""
    duckdb.execute("set TimeZone = 'UTC'")
    duckdb.execute(f"create or replace temp table e as {dataset.events.format(*files)}")
    ((end,),) = duckdb.sql("select max(at_ms) from e").fetchall()
    windows = ", ".join(
        f"count(*) filter (where at_ms // 86400000 > {end} // 86400000 - {days})" for days in (7, 30, 90)
    )
    rows = duckdb.sql(
        f'select "user", sum(micros)::bigint, min(at_ms), max(at_ms), {windows} from e group by 1'
    ).fetchall()
    users = {
        user: {
            "event_counts": {},
            "revenue_micros": micros,
            "first_seen": first,
            "last_seen": last,
            "events_7d": week,
            "events_30d": month,
            "events_90d": quarter,
        }
        for user, micros, first, last, week, month, quarter in rows
    }
    for user, name, count in duckdb.sql('select "user", name, count(*) from e group by 1, 2').fetchall():
        users[user]["event_counts"][name] = count
    return users, end


@dataclass
class Imported:
    seconds: float = 0.0
    reports: list[dict[str, Any]] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)


def import_files(tenant: Tenant, dataset: Dataset, files: list[Path], kills: int) -> Imported:
    """Run `whisperer import` for each file; meanwhile kill -9 each shard actor ``kills`` times, spread over it."""
    done = Imported()
    with _killing(tenant.stand, kills, done.kills):
        for path, (_, map_name) in zip(files, dataset.files, strict=True):
            began = time.monotonic()
            done.reports.append(
                tenant.stand.json(
                    "import", str(path), "--tenant", tenant.name, "--format", "parquet",
                    "--map", str(ROOT / "examples" / map_name), "--key", tenant.write_key,
                )
            )  # fmt: skip
            done.seconds += time.monotonic() - began
    return done


@contextmanager
def _killing(stand: Stand, kills: int, seconds: list[float]) -> Iterator[None]:
    """Wait until events arrive, then kill each shard in turn."""
    stop = threading.Event()
    start = sum(s["sequence"] for s in stand.status()["shards"])

    def work() -> None:
        while not stop.is_set() and sum(s.get("sequence", 0) for s in stand.status()["shards"]) < start + 1000:
            time.sleep(0.05)
        for _ in range(kills):
            for shard in range(stand.shards):
                if stop.is_set():
                    return
                seconds.append(stand.kill_shard(shard))
                stop.wait(0.5)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        if kills:  # every shard is killed once at least, if the import was quicker also after it
            while len(seconds) < stand.shards and thread.is_alive():
                time.sleep(0.05)
        stop.set()
        thread.join()


def compare(tenant: Tenant, users: dict[str, dict[str, Any]], end: int) -> list[str]:
    """Every difference between the shards' answer and ``users``, empty when they are equal."""
    return asyncio.run(_compare(tenant, users, end))


async def _compare(tenant: Tenant, users: dict[str, dict[str, Any]], end: int) -> list[str]:
    found: list[str] = []
    at_once = asyncio.Semaphore(16)
    async with httpx.AsyncClient(base_url=tenant.stand.url, headers=tenant.api.headers, timeout=60) as http:

        async def one(user: str, wanted: dict[str, Any]) -> None:
            async with at_once:
                answer = await http.get(f"/v1/users/{user}", params={"as_of": _iso(end)})
            if answer.status_code != 200:
                found.append(f"{user}: {answer.status_code}")
                return
            profile = answer.json()
            got = {
                "event_counts": profile["event_counts"],
                "first_seen": _ms(profile["first_seen"]),
                "last_seen": _ms(profile["last_seen"]),
                **{k: profile["features"][k] for k in ("revenue_micros", "events_7d", "events_30d", "events_90d")},
            }
            found.extend(f"{user} {k}: {got[k]!r}, not {v!r}" for k, v in wanted.items() if got[k] != v)

        await asyncio.gather(*(one(user, wanted) for user, wanted in users.items()))
    return found


def _iso(ms: int) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).isoformat().replace("+00:00", ZONE)


def _ms(text: str) -> int:
    import datetime

    return round(datetime.datetime.fromisoformat(text).timestamp() * 1000)
