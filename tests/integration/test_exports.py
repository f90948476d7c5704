"""Exports on a running installation: exact in each format, fetched by a link, ended with their process or on request."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.support.campaigning import closed, launch, messages, people, track
from tests.support.stand import Stand, Tenant, until

pytestmark = pytest.mark.cluster

N_EVENTS, BATCH = 20_000, 1_000
TEXTS = ["=1+1", "+1", "@x", 'a,"b"', "line\nbreak", "日本", "", "'"]
OPEN = ("queued", "running")


def written(n: int) -> str:
    """An event as its client spells it."""
    pretty = ',\n "pretty" : 1e2' if n % 5 == 0 else ""
    return (
        f'{{"type":"track","userId":"u{n % 97}","messageId":"m{n}","event":"{("Seen", "=Bought")[n % 2]}",'
        f'"timestamp":"2026-{1 + n % 9:02}-{1 + n % 28:02}T{n % 24:02}:00:00.{n % 1000:03}Z",'
        f'"properties":{{"n" : {n}, "x":1.0, "t":{json.dumps(TEXTS[n % len(TEXTS)])}{pretty}}}}}'
    )


def fill(tenant: Tenant) -> dict[str, str]:
    sent = {f"m{n}": written(n) for n in range(N_EVENTS)}
    lines = list(sent.values())
    for first in range(0, N_EVENTS, BATCH):
        body = '{"batch":[' + ",".join(lines[first : first + BATCH]) + "]}"
        assert tenant.post("import", body.encode()).json() == {"success": True}
    return sent


def begin(tenant: Tenant, of: str, format: str = "ndjson", **filter: Any) -> str:
    answer = tenant.api.post("/v1/exports", json={"of": of, "format": format, "filter": filter})
    assert answer.status_code == 202, answer.text
    id: str = answer.json()["id"]
    assert answer.headers["location"] == f"/v1/exports/{id}"
    return id


def show(tenant: Tenant, id: str) -> dict[str, Any]:
    found: dict[str, Any] = tenant.api.get(f"/v1/exports/{id}").raise_for_status().json()
    return found


def ended(tenant: Tenant, id: str) -> dict[str, Any]:
    until(lambda: show(tenant, id)["state"] not in OPEN, f"the end of {id}", 120)
    return show(tenant, id)


def fetched(tenant: Tenant, of: str, format: str = "ndjson", **filter: Any) -> bytes:
    export = ended(tenant, begin(tenant, of, format, **filter))
    assert export["state"] == "done", export
    content = httpx.get(export["download_url"], timeout=60).raise_for_status().content
    assert (len(content), hashlib.sha256(content).hexdigest()) == (export["size_bytes"], export["sha256"])
    return content


def workers(stand: Stand) -> list[psutil.Process]:
    return stand.processes(having="actors.jobs.worker")


def test_what_was_sent_is_exported_exactly_in_each_format(tenant: Tenant, tmp_path: Path) -> None:
    sent = fill(tenant)
    lines = {json.loads(line)["message_id"]: line for line in fetched(tenant, "events").splitlines()}
    assert lines.keys() == sent.keys()
    assert all(text.replace("\n", " ").encode() in lines[id] for id, text in sent.items())
    (tmp_path / "e.parquet").write_bytes(fetched(tenant, "events", "parquet"))
    table = pq.read_table(tmp_path / "e.parquet")
    assert dict(zip(table["message_id"].to_pylist(), table["sent"].to_pylist(), strict=True)) == sent
    counted = duckdb.sql(f"SELECT event, count(*) FROM '{tmp_path}/e.parquet' GROUP BY ALL ORDER BY ALL").fetchall()
    assert counted == [("=Bought", N_EVENTS // 2), ("Seen", N_EVENTS // 2)]
    text = fetched(tenant, "events", "csv", event="=Bought", since="2026-02-01T00:00:00Z").decode()
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert {row["message_id"]: json.loads(row["sent"]) for row in rows} == {
        f"m{n}": json.loads(written(n)) for n in range(1, N_EVENTS, 2) if n % 9
    }
    assert {row["event"] for row in rows} == {"'=Bought"}
    assert [row["timestamp"] for row in rows] == sorted(row["timestamp"] for row in rows)
    users = [json.loads(line) for line in fetched(tenant, "users").splitlines()]
    assert [user["user_id"] for user in users] == sorted(f"u{n}" for n in range(97))
    assert sum(user["events"] for user in users) == N_EVENTS


def test_decisions_and_deliveries_are_those_that_were_made(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    users = people(tenant)
    track(tenant, "Joined", *users)
    closed(tenant, "welcome", len(users))
    received = messages(tenant)
    decisions = [json.loads(line) for line in fetched(tenant, "decisions", campaign="welcome").splitlines()]
    assert {one["user_key"] for one in decisions} == {f"u:{user}" for user in users}
    audit = tenant.api.get(f"/v1/decisions/{decisions[0]['decision_id']}").json()
    same = ("arm", "arms", "propensities", "seed", "features", "policy_version")
    assert {name: decisions[0][name] for name in same} == {name: audit[name] for name in same}
    deliveries = pq.read_table(pa.py_buffer(fetched(tenant, "deliveries", "parquet", status="accepted")))
    assert set(deliveries["send_key"].to_pylist()) == {message["send_key"] for message in received}
    log = [json.loads(line) for line in fetched(tenant, "audit", resource="exports").splitlines()]
    assert [one["verb"] for one in log] == ["created"] * 3


@pytest.fixture
def other(stand: Stand) -> Iterator[Tenant]:
    made = stand.tenant(f"o-{secrets.token_hex(4)}")
    yield made
    made.close()


def test_another_tenant_gets_nothing_and_a_range_is_given(tenant: Tenant, other: Tenant) -> None:
    tenant.post("track", {"userId": "ann", "event": "Seen"})
    export, theirs = ended(tenant, begin(tenant, "events")), ended(other, begin(other, "events"))
    for method in ("GET", "DELETE"):
        assert other.api.request(method, f"/v1/exports/{export['id']}").status_code == 404
    crossed = httpx.get(theirs["download_url"].replace(theirs["id"], export["id"]))
    assert (crossed.status_code, crossed.json()["code"]) == (404, "export_not_found")
    whole, part = (httpx.get(export["download_url"], headers=asked) for asked in ({}, {"Range": "bytes=3-9"}))
    assert (part.status_code, part.content) == (206, whole.content[3:10])
    assert httpx.head(export["download_url"]).headers["content-length"] == str(export["size_bytes"])
    tenant.api.delete(f"/v1/exports/{export['id']}").raise_for_status()
    assert httpx.get(export["download_url"]).status_code == 404


def test_a_killed_process_makes_it_fail_and_a_deleted_one_ends(stand: Stand, tenant: Tenant) -> None:
    fill(tenant)
    folder = stand.data_dir / "warehouse" / "exports" / tenant.id

    def left(id: str) -> list[str]:
        return sorted(path.suffix for path in folder.glob(f"{id}*"))

    killed = begin(tenant, "events", "csv")
    for process in until(lambda: workers(stand), "a process at work", 60):
        process.kill()
    export = ended(tenant, killed)
    assert (export["state"], export["rows"], export["download_url"]) == ("failed", None, None)
    until(lambda: left(killed) == [".json"], "the end of its file")

    cancelled = begin(tenant, "events", "csv")
    until(lambda: workers(stand), "a process at work", 60)
    assert tenant.api.delete(f"/v1/exports/{cancelled}").json()["state"] == "cancelled"
    until(lambda: not workers(stand), "the end of the process")
    until(lambda: left(cancelled) == [".json"], "the end of its file")
    assert show(tenant, cancelled)["state"] == "cancelled"
    assert ended(tenant, begin(tenant, "events", "csv"))["rows"] == N_EVENTS


def test_the_command_saves_what_was_exported(stand: Stand, tenant: Tenant, tmp_path: Path) -> None:
    tenant.post("track", {"userId": "ann", "event": "Seen", "properties": {"n": 7}})
    file = tmp_path / "events.ndjson"
    made = stand.json("export", "create", "events", "--tenant", tenant.name, "--output", str(file))
    assert json.loads(file.read_bytes())["sent"]["properties"] == {"n": 7}
    assert [one["id"] for one in stand.json("export", "list", "--tenant", tenant.name)] == [made["id"]]
    again = tmp_path / "again.ndjson"
    stand.run("export", "download", made["id"], "--tenant", tenant.name, "--output", str(again))
    assert again.read_bytes() == file.read_bytes()
    stand.run("export", "delete", made["id"], "--tenant", tenant.name)
    assert stand.json("export", "list", "--tenant", tenant.name) == []
