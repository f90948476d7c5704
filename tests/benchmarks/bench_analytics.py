"""Questions about ten million events of a million users, each in a new process, beside plain DuckDB on the same files.

Every question is asked as a job would ask it: process, connection, catalog and identities included, nothing kept from
before but the system's page cache. The plain SQL beside it is written by hand for this one question, with the user's key
as it was stored: it knows of no identities, time zones or bounds. `--check` also compares the answers.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import msgspec

from actors.warehouse import Warehouse
from actors.warehouse.analysis import analysed
from tests.benchmarks import analytics_events, report
from tests.benchmarks.analytics_events import TENANT
from tests.benchmarks.screen import say, table
from whisperer.analytics.questions import Funnel, Question, Retention, Trends

NOW = 1_775_001_600_000
"""2026-04-01: the day after the last event."""
STEPS = ["Product Viewed", "Product Added", "Order Completed"]
PERIOD: dict[str, Any] = {"last_days": 91}
QUESTIONS: dict[str, tuple[type[Any], dict[str, Any], float]] = {
    "funnel": (Funnel, {**PERIOD, "steps": [{"event": step} for step in STEPS], "window_s": 7 * 86_400}, 2.0),
    "trend_by_event": (Trends, {**PERIOD, "series": [{}], "breakdown": {"event": True}}, 1.0),
    "trend_by_property": (
        Trends,
        {**PERIOD, "series": [{"event": STEPS[2]}], "breakdown": {"property": "country"}},
        1.0,
    ),
    "trend_users": (Trends, {**PERIOD, "series": [{"event": STEPS[2], "measure": "users"}]}, 1.0),
    "retention": (Retention, {**PERIOD, "interval": "week", "periods": 12}, 3.0),
    "retention_of_orders": (
        Retention,
        {**PERIOD, "interval": "week", "periods": 12, "start": {"event": STEPS[0]}, "return": {"event": STEPS[2]}},
        3.0,
    ),
}
PLAIN = {
    "funnel": """
        WITH e AS (SELECT user_key, event, epoch_ms(timestamp) AS t FROM events
                   WHERE event IN ('Product Viewed', 'Product Added', 'Order Completed')),
        a AS (SELECT user_key, event, t, max(CASE WHEN event = 'Product Viewed' THEN t END)
                     OVER (PARTITION BY user_key ORDER BY t, event DESC) AS s1 FROM e),
        b AS (SELECT user_key, event, t, s1, max(CASE WHEN event = 'Product Added' AND t - s1 <= 604800000 THEN s1 END)
                     OVER (PARTITION BY user_key ORDER BY t, event DESC) AS s2 FROM a)
        SELECT count(DISTINCT CASE WHEN s1 IS NOT NULL THEN user_key END),
               count(DISTINCT CASE WHEN s2 IS NOT NULL THEN user_key END),
               count(DISTINCT CASE WHEN event = 'Order Completed' AND t - s2 <= 604800000 THEN user_key END) FROM b""",
    "trend_by_event": "SELECT date_trunc('day', timestamp) AS d, event, count(*) FROM events GROUP BY ALL",
    "trend_by_property": """SELECT date_trunc('day', timestamp), json_extract_string(payload, '$.properties.country'),
        count(*) FROM events WHERE event = 'Order Completed' GROUP BY ALL""",
    "trend_users": """SELECT date_trunc('day', timestamp), count(DISTINCT user_key) FROM events
        WHERE event = 'Order Completed' GROUP BY ALL""",
    "retention": """
        WITH a AS (SELECT DISTINCT user_key, date_trunc('week', timestamp) AS w FROM events),
        f AS (SELECT user_key, min(w) AS c FROM a GROUP BY user_key)
        SELECT c, date_diff('week', c, w) AS n, count(*) FROM a JOIN f USING (user_key) GROUP BY ALL""",
    "retention_of_orders": """
        WITH a AS (SELECT DISTINCT user_key, date_trunc('week', timestamp) AS w FROM events
                   WHERE event = 'Order Completed'),
        f AS (SELECT user_key, min(date_trunc('week', timestamp)) AS c FROM events WHERE event = 'Product Viewed'
              GROUP BY user_key)
        SELECT c, date_diff('week', c, w) AS n, count(*) FROM a JOIN f USING (user_key) WHERE w >= c GROUP BY ALL""",
}


def question(name: str) -> Question:
    kind, asked, _ = QUESTIONS[name]
    found: Question = msgspec.convert(asked, kind)
    return found


def ours(warehouse: Warehouse, name: str) -> Any:
    return analysed(warehouse, TENANT, question(name), NOW, [])


def plain(warehouse: Warehouse, name: str) -> list[Any]:
    files = [warehouse._blobs.path_of(file.path) for file in warehouse.files(TENANT)]
    with duckdb.connect(config={"threads": 2, "memory_limit": "1GB"}) as connection:
        connection.read_parquet(files).create_view("events")
        return connection.execute(PLAIN[name]).fetchall()


def once(folder: Path, name: str, how: str) -> None:
    """In a process of its own: print the seconds from the question to its answer, and of that what imports took."""
    warehouse = Warehouse(folder, n_threads=2)
    began = time.perf_counter()
    (ours if how == "ours" else plain)(warehouse, name)
    print(time.perf_counter() - began)


def measured(folder: Path, name: str, how: str, rounds: int) -> float:
    found = []
    for _ in range(rounds):
        command = [sys.executable, "-m", "tests.benchmarks.bench_analytics", "--once", name, how, str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found.append(float(done.stdout))
    return median(found)


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="the median counts")
    parser.add_argument("--only", choices=list(QUESTIONS), help="one question")
    parser.add_argument("--once", nargs=3, help="(what this command calls itself with)")
    options = parser.parse_args()
    if options.once:
        once(Path(options.once[2]), options.once[0], options.once[1])
        return
    folder = analytics_events.folder_of(options.events, options.users)
    warehouse = analytics_events.warehouse_of(options.events, options.users)
    files = warehouse.files(TENANT)
    figures: dict[str, Any] = {"events": options.events, "users": options.users, "files": len(files)}
    figures["file_mb"] = round(sum(file.n_bytes for file in files) / 1e6)
    rows = []
    for name in [options.only] if options.only else QUESTIONS:
        say(name)
        took, beside = (measured(folder, name, how, options.rounds) for how in ("ours", "plain"))
        goal = QUESTIONS[name][2]
        figures[name] = {
            "seconds": round(took, 3),
            "goal_s": goal,
            "plain_duckdb_s": round(beside, 3),
            "ratio": round(took / beside, 2),
        }
        rows.append((name, f"{took:.2f} s", f"{goal:g} s", f"{beside:.2f} s", f"{took / beside:.2f}"))
    print(table(("question", "took", "goal", "plain DuckDB", "ratio"), rows))
    report.publish("analytics", figures, options.json, payload="about 330 bytes of JSON an event", threads=2)


if __name__ == "__main__":
    main()
