"""How soon a change is everywhere: keys at every gateway, a segment at every shard; with few tenants, then with many.

An installation of its own with `--replicas` gateways. Again and again a key is made, then revoked, and meanwhile
requests with it go out on new connections, so that every replica is asked: a change has taken as long as until the last
request was sent that was answered as if it had not been made. A segment is published and asked for until all partitions
have been searched. Then the same once `--tenants` others are there, and once more while one of these writes without
end; what its writes cost shows in the latency of the requests.
"""

from __future__ import annotations

import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from cluster.control_plane import ControlPlane
from cluster.launch import installation
from tests.benchmarks import report
from tests.benchmarks.screen import say, table
from tests.support.stand import Stand, Tenant, running, until

WATCHED_S = 2.0
"""How long after a change it is looked for; so much longer than the promise that a broken one would show."""
ASKERS = 4
SEGMENT = {"trait": "plan", "op": "eq", "value": "team"}


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--changes", type=int, default=20, help="of each kind")
    parser.add_argument("--tenants", type=int, default=10_000)
    parser.add_argument("--replicas", type=int, default=2)
    options = parser.parse_args()
    replicas = {"GATEWAY_MIN_REPLICAS": options.replicas, "GATEWAY_MAX_REPLICAS": options.replicas}
    with tempfile.TemporaryDirectory(prefix="bench-") as data, running(Path(data) / "data", settings=replicas) as stand:
        rows = list(_rows(stand, options.changes, options.tenants))
    print(table(tuple(rows[0]), [tuple(row.values()) for row in rows]))
    report.publish("changes", {"cases": rows}, options.json, replicas=options.replicas, changes=options.changes)


def _rows(stand: Stand, n_changes: int, n_tenants: int) -> Iterator[dict[str, Any]]:
    tenant = stand.tenant("changed")
    people = [{"type": "identify", "userId": f"u-{n}", "traits": {"plan": "team"}} for n in range(500)]
    tenant.post("batch", {"batch": people}).raise_for_status()
    until(lambda: tenant.user("u-499"), "the users")
    yield _row("alone", tenant, n_changes)
    say(f"making {n_tenants:,} tenants")
    record = installation.load(stand.data_dir)
    assert record.settings is not None
    with ControlPlane(record.settings.control_plane.url, keyring=record.keyring()) as plane:
        for number in range(n_tenants):
            plane.create_key(plane.create_tenant(f"other-{number}").id, "write")
    time.sleep(WATCHED_S)
    yield _row(f"{n_tenants:,} other tenants", tenant, n_changes)
    with _writing(stand.tenant("busy")):
        yield _row("one of them writes without end", tenant, n_changes)


def _row(name: str, tenant: Tenant, n_changes: int) -> dict[str, Any]:
    say(name)
    made, revoked, searched, asked = [], [], [], []
    keys = f"/internal/tenants/{tenant.name}/keys"
    with ThreadPoolExecutor(ASKERS) as pool, tenant.stand.operator() as operator:
        for number in range(n_changes):
            key = operator.post(keys, json={"kind": "secret"}).raise_for_status().json()
            made.append(_until_everywhere(pool, tenant, key["key"], 200, asked))
            operator.delete(f"{keys}/{key['id']}").raise_for_status()
            revoked.append(_until_everywhere(pool, tenant, key["key"], 401, asked))
            began = time.perf_counter()
            segment = {"name": f"team-{number % 10}", "predicate": {**SEGMENT, "value": f"team{number}"}}
            tenant.api.post("/v1/segments", json=segment).raise_for_status()
            until(lambda name=segment["name"]: _is_searched(tenant, name), "the segment", 30)  # type: ignore[misc]
            searched.append(time.perf_counter() - began)
    asked.sort()
    return {
        "case": name,
        **_spread("made_ms", made),
        **_spread("revoked_ms", revoked),
        **_spread("searched_ms", searched),
        "asked_p50_ms": _ms(statistics.median(asked)),
        "asked_p99_ms": _ms(asked[int(0.99 * len(asked))]),
    }


def _until_everywhere(pool: ThreadPoolExecutor, tenant: Tenant, key: str, status: int, asked: list[float]) -> float:
    """Return the seconds until the last request was sent that was not answered with ``status``."""
    changed = time.perf_counter()

    def ask() -> float:
        last = 0.0
        while (sent := time.perf_counter() - changed) < WATCHED_S:
            answer = httpx.get(
                f"{tenant.stand.url}/v1/channels", headers={"Authorization": f"Bearer {key}"}, timeout=30
            )
            asked.append(time.perf_counter() - changed - sent)
            if answer.status_code != status:
                last = sent
        return last

    return max(one.result() for one in [pool.submit(ask) for _ in range(ASKERS)])


def _is_searched(tenant: Tenant, name: str) -> bool:
    found = tenant.api.get(f"/v1/segments/{name}").raise_for_status().json()
    return bool(found["done"] == found["total"])


@contextmanager
def _writing(tenant: Tenant) -> Iterator[None]:
    ended = threading.Event()

    def write() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            tenant.api.put(f"/v1/segments/s{number % 50}", json={"predicate": {**SEGMENT, "value": number}})

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _spread(name: str, seconds: list[float]) -> dict[str, float]:
    return {name: _ms(statistics.median(seconds)), f"{name}_most": _ms(max(seconds))}


def _ms(seconds: float) -> float:
    return round(seconds * 1e3, 1)


if __name__ == "__main__":
    main()
