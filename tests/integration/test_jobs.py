"""Work for callers on a running installation: streamed, ended with its caller, bounded; no shard notices."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.stand import Stand, Tenant, running, until

PROGRAM = "actors.jobs.worker"
N_EVENTS = 20_000
"""Of 2 KB: more than all sockets on the way hold, or a job would be done before its caller has read anything."""
BATCH = 200


def workers(stand: Stand) -> set[int]:
    return {process.pid for process in stand.processes(having=PROGRAM)}


def ending(stand: Stand, name: str) -> int:
    """How many exports ended so."""
    with stand.operator() as operator:
        lines = operator.get("/metrics").text.splitlines()
    wanted = ['lane="reports"', f'ending="{name}"']
    return sum(
        round(float(line.rsplit(" ", 1)[1]))
        for line in lines
        if line.startswith("whisperer_gateway_jobs_total{") and all(word in line for word in wanted)
    )


@pytest.fixture
def known(tenant: Tenant) -> Tenant:
    fill(tenant)
    return tenant


def fill(tenant: Tenant) -> None:
    for first in range(0, N_EVENTS, BATCH):
        batch = [
            {
                "type": "track",
                "userId": "ann",
                "event": "Seen",
                "messageId": f"m{n}",
                "properties": {"text": "x" * 2_000},
            }
            for n in range(first, first + BATCH)
        ]
        tenant.api.post("/v1/batch", json={"batch": batch}, auth=(tenant.write_key, "")).raise_for_status()
    tenant.stand.settled()


def test_an_export_comes_in_pieces_and_is_whole(known: Tenant) -> None:
    with known.api.stream("GET", "/v1/users/ann/export") as answer:
        assert answer.headers["content-type"] == "application/json"
        assert "content-length" not in answer.headers
        found = json.loads(b"".join(answer.iter_bytes()))
    assert list(found) == [
        "exported_at", "profile", "daily_counts", "inbox", "coupons", "events", "decisions", "deliveries", "outcomes",
        "rewards",
    ]  # fmt: skip
    assert len({event["message_id"] for event in found["events"]}) == N_EVENTS
    assert found["profile"]["user_id"] == "ann"
    assert known.api.get("/v1/users/nobody/export").status_code == 404


def test_an_export_ends_with_its_caller(known: Tenant) -> None:
    stand = known.stand
    gone = ending(stand, "gone")
    with known.api.stream("GET", "/v1/users/ann/export") as answer:
        assert answer.status_code == 200, answer.read()
        pieces = answer.iter_bytes()  # held: whoever lets go of it closes the connection
        next(pieces)
        working = workers(stand)
        assert working
    # The client closed the connection in the middle; what worked for it is gone, not kept for the next.
    until(lambda: ending(stand, "gone") > gone, "the end of the job")
    until(lambda: working - workers(stand), "the end of its process")
    assert len(known.api.get("/v1/users/ann/export").json()["events"]) == N_EVENTS


def test_a_tenant_has_no_more_than_its_share_open_and_another_its_turn(known: Tenant) -> None:
    stand = known.stand
    other = stand.tenant(f"t-{secrets.token_hex(4)}")
    other.post("track", {"userId": "bob", "event": "Seen"})
    clients = [httpx.Client(base_url=stand.url, headers=known.api.headers, timeout=120) for _ in range(4)]
    held = [client.build_request("GET", "/v1/users/ann/export") for client in clients]
    try:
        first = clients[0].send(held[0], stream=True)  # nobody reads on: it stays open
        assert first.status_code == 200
        with ThreadPoolExecutor(4) as pool:
            waiting = [pool.submit(c.send, r, stream=True) for c, r in zip(clients[1:], held[1:], strict=True)]
            until(lambda: _n_waiting(stand) == 3, "three to wait")
            refused = known.api.get("/v1/users/ann/export")
            assert (refused.status_code, refused.json()["code"]) == (429, "too_many_jobs")
            assert int(refused.headers["retry-after"]) >= 1
            assert len(other.api.get("/v1/users/bob/export").json()["events"]) == 1
            first.close()
            for one in waiting:
                one.result().close()
    finally:
        for client in clients:
            client.close()
        other.close()


def _n_waiting(stand: Stand) -> int:
    with stand.operator() as operator:
        lines = operator.get("/metrics").text.splitlines()
    return sum(
        round(float(line.rsplit(" ", 1)[1]))
        for line in lines
        if line.startswith("whisperer_gateway_jobs{") and 'lane="reports"' in line and 'state="waiting"' in line
    )


def test_an_unknown_decision_is_a_404_that_no_shard_looks_for_in_files(known: Tenant) -> None:
    assert known.api.get("/v1/decisions/dec_nowhere").status_code == 404


@pytest.fixture(scope="module")
def narrow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with running(Path(tmp_path_factory.mktemp("narrow")), shards=1, settings={"JOBS_MEMORY_MIB": "100"}) as started:
        yield started


def test_a_job_over_its_memory_is_a_clear_error_and_no_shard_notices(narrow: Stand) -> None:
    tenant = narrow.tenant("acme")
    tenant.post("track", {"userId": "ann", "event": "Seen"})
    before = [shard["pid"] for shard in narrow.settled()["shards"]]
    answer = tenant.api.get("/v1/users/ann/export")
    assert answer.status_code in (413, 503), answer.text  # of a library that ends its process, no more is known
    assert "100 MB" in answer.json()["message"]
    after = narrow.settled()["shards"]
    assert [shard["pid"] for shard in after] == before
    assert all(shard["state"] == "serving" for shard in after)
    assert tenant.user("ann") is not None
