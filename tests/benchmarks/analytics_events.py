"""Ten million events of a million users as the warehouse's own Parquet, made with DuckDB and kept for later runs.

A shop over 90 days: events of several names, with the properties that a client sends; one in ten users was known under
an anonymous id first. The same arguments give the same rows.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import duckdb

from actors.warehouse import Warehouse
from actors.warehouse.datasets import EVENTS
from tests.benchmarks.screen import say

TENANT = "tn_bench"
DAYS = 90
FIRST_DAY = "2026-01-01"
FORM = 3
"""Changes with the rows that are made, so that nobody reads older ones."""

_DAY = """
    WITH drawn AS (
        SELECT n, hash(n, 1) AS h, floor(pow((hash(n, 2) % 1000000007) / 1000000007.0, 1.5) * $users)::BIGINT AS user,
               (hash(n, 3) % 100)::BIGINT AS what, (hash(n, 4) % 86400000)::BIGINT AS ms, hash(n, 5) AS more
        FROM range($first::BIGINT, $last::BIGINT) t(n)
    ), named AS (
        SELECT *, printf('%08d', user) AS id, uuid_of AS device, user % 10 = 0 AND $day < user % 90 AS is_stranger,
               CASE WHEN what < 40 THEN 'Page Viewed' WHEN what < 65 THEN 'Product Viewed'
                    WHEN what < 80 THEN 'Product Added' WHEN what < 90 THEN 'Checkout Started'
                    WHEN what < 97 THEN 'Order Completed' ELSE '$identify' END AS name,
               ['free', 'pro', 'team', 'trial', 'enterprise'][(more % 5)::BIGINT + 1] AS plan,
               ['DE', 'US', 'FR', 'GB', 'IN', 'BR', 'JP', 'IT', 'ES', 'NL', 'SE', 'PL'][((more // 5) % 12)::BIGINT + 1] AS country,
               ((more // 100) % 20000) / 100.0 AS price, (more // 7) % 500 AS sku
        FROM (SELECT *, 'd' || printf('%016x', hash(user, 9)) AS uuid_of FROM drawn)
    )
    SELECT $tenant AS tenant, DATE '2026-01-01' + $day::INT AS date, (hash(user, 6) % 64)::USMALLINT AS partition,
           CASE WHEN is_stranger THEN 'a:' || device ELSE 'u:' || id END AS user_key,
           CASE WHEN is_stranger THEN NULL ELSE id END AS user_id, device AS anonymous_id,
           CASE WHEN name = '$identify' THEN 'identify' ELSE 'track' END AS type, name AS event,
           (epoch_ms(ms::BIGINT) + to_days($day::INT) + INTERVAL 56 YEAR)::TIMESTAMP_MS AS timestamp,
           (epoch_ms(ms::BIGINT) + to_days($day::INT) + INTERVAL 56 YEAR + INTERVAL 40 MILLISECOND)::TIMESTAMP_MS
               AS received_at,
           CASE WHEN name = 'Order Completed' THEN (price * 1000000)::BIGINT ELSE 0 END AS revenue_micros,
           printf('%016x', h) AS message_id, 0::INT AS shard, ($day::BIGINT * 1000000000 + n // 1000 * 500)::BIGINT AS lsn,
           (n % 1000)::USMALLINT AS index, NULL::BIGINT AS sequence, false AS forwarded,
           '{"type":"' || CASE WHEN name = '$identify' THEN 'identify' ELSE 'track' END || '","event":"' || name
             || '","userId":"' || id || '","anonymousId":"' || device || '","messageId":"' || printf('%016x', h)
             || '","' || CASE WHEN name = '$identify' THEN 'traits' ELSE 'properties' END || '":{"plan":"' || plan
             || '","country":"' || country || '","price":' || price || ',"sku":"sku-' || sku
             || '","url":"https://shop.example.com/p/' || sku || '"},"context":{"library":{"name":"analytics.js",'
             || '"version":"4.1.0"},"locale":"en-US","timezone":"Europe/Berlin"}}' AS payload
    FROM named ORDER BY user_key, lsn, index
"""


def folder_of(n_events: int, n_users: int) -> Path:
    """Return where that warehouse is kept."""
    return Path(tempfile.gettempdir()) / f"whisperer-bench-analytics-{FORM}-{n_events}-{n_users}"


def warehouse_of(n_events: int, n_users: int, n_threads: int = 2) -> Warehouse:
    """Return the warehouse with that many events, which is built where it is not there yet."""
    folder = folder_of(n_events, n_users)
    if not folder.exists():
        beside = folder.with_suffix(".partial")
        shutil.rmtree(beside, ignore_errors=True)
        say(f"making {n_events:,} events in {folder}")
        _build(Warehouse(beside), n_events, n_users, n_threads)
        beside.rename(folder)
    return Warehouse(folder, n_threads=n_threads)


def _build(warehouse: Warehouse, n_events: int, n_users: int, n_threads: int) -> None:
    a_day = -(-n_events // DAYS)
    files = []
    with duckdb.connect(config={"threads": n_threads}) as connection:
        for day in range(DAYS):
            first, last = day * a_day, min((day + 1) * a_day, n_events)
            asked = {"tenant": TENANT, "users": n_users, "first": first, "last": last, "day": day}
            table = connection.sql(_DAY, params=asked).to_arrow_table().cast(EVENTS.schema)
            date = str(table["date"][0])
            name = f"compact-{day + 1:010d}-0000.parquet"
            files.append(warehouse._write(EVENTS, TENANT, date, name, table, [(0, 0, 1)]))
    warehouse._catalog.commit_export(0, 0, 1, files)
