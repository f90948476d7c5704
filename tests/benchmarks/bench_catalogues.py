"""Catalogues and coupons: how long a tag takes over 50,000 items, an upload of as many, and giving a code.

One process, no installation; SQLite in a temporary folder, or the database of --database, which gets a tenant of its
own. Next to a tag stands the floor: a loop over the same items as Python's own values. The first use of a field builds
its column; `first` has that, `then` what every further message pays.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.control_plane import ControlPlane
from cluster.control_plane.coupons import Ask
from tests.benchmarks import report
from tests.benchmarks.screen import table
from whisperer.content.catalogue.table import Condition, ItemTable
from whisperer.content.catalogue.upload import read_items
from whisperer.ids import known_key

FIELDS = {"name": "string", "category": "string", "price": "number", "since": "time", "url": "url", "tags": "list"}
PICKS: dict[str, tuple[list[Condition], str]] = {
    'where category == "c7" limit 3': ([Condition("category", "==", "c7")], ""),
    'where price < 50 sort "-price" limit 3': ([Condition("price", "<", 50)], "-price"),
    'where category == "c7" and price < 500 and tags contains "t3" sort "price" limit 3': (
        [Condition("category", "==", "c7"), Condition("price", "<", 500), Condition("tags", "contains", "t3")],
        "price",
    ),
    "where id in 20 ids limit 3": ([Condition("id", "in", [f"p-{n}" for n in range(0, 40_000, 2_000)])], ""),
}


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--codes", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=64, help="users who are given codes in one transaction")
    parser.add_argument("--database", default="", help="URL; SQLite in a temporary folder if none is named")
    options = parser.parse_args()
    items = [_item(n) for n in range(options.items)]
    with (
        tempfile.TemporaryDirectory() as folder,
        ControlPlane(options.database or f"sqlite:///{Path(folder) / 'control.db'}") as plane,
    ):
        stored = _stored(plane, items, options.codes, options.batch)
    picks = _picks(items)
    print(table(("tag", "first, ms", "then, ms", "floor, ms"), [tuple(one.values()) for one in picks]))
    print(table(("step", "value"), list(stored.items())))
    kept = "synced" if not options.database else "the database's"
    report.publish("catalogues", {"tags": picks, **stored}, options.json, items=options.items, durability=kept)


def _item(n: int) -> dict[str, Any]:
    return {
        "id": f"p-{n}",
        "name": f"Product number {n}",
        "category": f"c{n % 50}",
        "price": n % 1_000,
        "since": f"2026-{n % 12 + 1:02d}-01T00:00:00Z",
        "url": f"https://shop.example.com/p/{n}",
        "tags": [f"t{n % 7}", f"t{n % 11}"],
    }


def _picks(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    encoded = [(one["id"], json.dumps(one).encode()) for one in items]
    found = []
    for name, (conditions, sort) in PICKS.items():
        of = ItemTable(FIELDS, encoded)
        first = _milliseconds(lambda of=of, c=conditions, s=sort: of.pick(c, s, 3), 1)  # type: ignore[misc]
        then = _milliseconds(lambda of=of, c=conditions, s=sort: of.pick(c, s, 3), 200)  # type: ignore[misc]
        floor = _milliseconds(lambda c=conditions, s=sort: _plain(items, c, s), 5)  # type: ignore[misc]
        found.append({"tag": name, "first, ms": first, "then, ms": then, "floor, ms": floor})
    return found


def _plain(items: list[dict[str, Any]], conditions: list[Condition], sort: str) -> list[dict[str, Any]]:
    def meets(item: dict[str, Any], one: Condition) -> bool:
        value = item[one.field]
        if one.operator == "==":
            return bool(value == one.value)
        if one.operator == "<":
            return bool(value < one.value)
        return one.value in value if one.operator == "contains" else value in one.value

    found = [item for item in items if all(meets(item, one) for one in conditions)]
    if sort:
        found.sort(key=lambda item: item[sort.removeprefix("-")], reverse=sort.startswith("-"))
    return found[:3]


def _stored(plane: ControlPlane, items: list[dict[str, Any]], n_codes: int, batch: int) -> dict[str, Any]:
    tenant = plane.create_tenant(f"bench-{time.time_ns()}").id
    plane.put_catalogue(tenant, "products", FIELDS)
    body = "\n".join(map(json.dumps, items)).encode()
    began = time.perf_counter()
    read = read_items(FIELDS, body, "application/x-ndjson", len(items))
    reading = time.perf_counter() - began
    began = time.perf_counter()
    plane.upload_items(tenant, "products", FIELDS, read, replace=True)
    writing = time.perf_counter() - began
    changed = {id: text.replace(b"Product", b"Article") for id, text in read.items()}
    began = time.perf_counter()
    plane.upload_items(tenant, "products", FIELDS, changed, replace=True)
    replacing = time.perf_counter() - began
    began = time.perf_counter()
    loaded = plane.load_catalogue(tenant, "products")
    assert loaded is not None
    ItemTable(loaded.fields, loaded.items)
    loading = time.perf_counter() - began
    plane.put_pool(tenant, "spring")
    began = time.perf_counter()
    plane.add_codes(tenant, "spring", [f"CODE-{n:08d}" for n in range(n_codes)])
    adding = time.perf_counter() - began
    times = []
    for start in range(0, min(n_codes, 100 * batch), batch):
        asks = [Ask("spring", "c", known_key(f"u{n}")) for n in range(start, start + batch)]
        began = time.perf_counter()
        plane.give_codes(tenant, asks, 1)
        times.append((time.perf_counter() - began) * 1000)
    plane.delete_pool(tenant, "spring")
    plane.delete_catalogue(tenant, "products")
    return {
        "upload, MB": round(len(body) / 1e6, 1),
        "reading it, s": round(reading, 2),
        "storing it, s": round(writing, 2),
        "storing it again, all changed, s": round(replacing, 2),
        "loading it to render, s": round(loading, 2),
        f"adding {n_codes:,} codes, s": round(adding, 2),
        f"giving {batch} codes, p50 ms": round(statistics.median(times), 2),
        f"giving {batch} codes, p99 ms": round(sorted(times)[int(len(times) * 0.99) - 1], 2),
    }


def _milliseconds(do: Callable[[], object], times: int) -> float:
    """Return the median time of one call."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        do()
        found.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(found), 3)


if __name__ == "__main__":
    main()
