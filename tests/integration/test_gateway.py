"""The running product over HTTP: what api.md's ingestion section promises, end to end."""

from __future__ import annotations

import base64
import concurrent.futures
import gzip
import json
import socket
import time
from pathlib import Path

import httpx
import pytest

from tests.support.stand import SHARED, Stand, Tenant

pytestmark = pytest.mark.cluster


def track(user: str, **more: object) -> dict[str, object]:
    return {"type": "track", "event": "Clicked", "userId": user, **more}


def test_an_event_answered_200_is_in_the_profile_at_once(tenant: Tenant) -> None:
    answer = tenant.post("track", {"userId": "ann", "event": "Bought", "properties": {"revenue": 12.5}})
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    ann = tenant.user("ann")
    assert ann is not None
    assert ann["event_counts"] == {"Bought": 1}
    assert ann["features"]["revenue_micros"] == 12_500_000
    assert ann["timeline"][0]["properties"] == {"revenue": 12.5}


def test_counts_in_status_are_exact_and_repeats_are_told_apart(tenant: Tenant) -> None:
    batch = [track(f"u{i % 7}", messageId=f"m{i}") for i in range(100)]
    for _ in range(3):
        assert tenant.post("batch", {"batch": batch}).status_code == 200
    assert tenant.post("track", {"event": "x"}).status_code == 400
    counts = tenant.counts()
    assert (counts["events_accepted"], counts["events_duplicate"], counts["users"]) == (100, 200, 7)
    assert counts["events_rejected"] == {"missing_identity": 1}


def test_anonymous_history_and_later_events_reach_the_identified_user(tenant: Tenant) -> None:
    tenant.post("page", {"anonymousId": "anon-1", "name": "Home"})
    tenant.post("identify", {"userId": "ann", "anonymousId": "anon-1", "traits": {"email": "a@b.c"}})
    tenant.stand.settled()
    tenant.post("track", {"anonymousId": "anon-1", "event": "Looked"})
    tenant.stand.settled()
    ann = tenant.user("ann")
    assert ann is not None
    assert ann["event_counts"] == {"$page": 1, "$identify": 1, "Looked": 1}
    assert ann["anonymous_ids"] == ["anon-1"]
    by_device = tenant.user("anon-1")
    assert by_device is not None
    assert by_device["user_id"] == "ann"


def test_naughty_strings_come_back_unchanged(tenant: Tenant) -> None:
    naughty = {
        "__class__": "x", "'; DROP TABLE users;--": "1", "<script>alert(1)</script>": "<b>", "a.b": {"c d": [1, None]},
        "": "empty", "emoji 👩‍👩‍👧": "שלום \u202e تجربة", "null byte": "a\u0000b", "big": 123456789012345678901234567890,
        "exp": 1e300, "space ": " \t\n", "constructor": {"prototype": 1}, "%s%n": "{{7*7}} ${x}", "ﷺ": "Ω≈ç√∫˜µ≤≥÷",
    }  # fmt: skip
    body = {"userId": "nan'\"<u>/../%00", "traits": naughty, "properties": naughty, "event": "<img src=x>"}
    assert tenant.post("identify", body).status_code == 200
    assert tenant.post("track", body).status_code == 200
    user = tenant.user(str(body["userId"]))
    assert user is not None
    assert user["user_id"] == body["userId"]
    assert user["traits"] == naughty
    assert user["timeline"][0]["properties"] == naughty
    assert user["event_counts"]["<img src=x>"] == 1


def test_text_plain_and_gzip_with_or_without_its_header_are_read(tenant: Tenant) -> None:
    body = json.dumps(track("ann")).encode()
    assert tenant.http.post("/v1/t", content=body, headers={"Content-Type": "text/plain"}).status_code == 200
    zipped = gzip.compress(body)
    assert tenant.http.post("/v1/track", content=zipped, headers={"Content-Encoding": "gzip"}).status_code == 200
    assert tenant.http.post("/v1/track/", content=zipped).status_code == 200
    assert tenant.counts()["events_accepted"] == 3


def test_the_key_may_be_basic_bearer_or_in_the_body(tenant: Tenant) -> None:
    url = f"{tenant.stand.url}/v1/track"
    basic = base64.b64encode(f"{tenant.write_key}:".encode()).decode()
    assert httpx.post(url, json=track("a"), headers={"Authorization": f"Basic {basic}"}).status_code == 200
    assert httpx.post(url, json=track("a"), headers={"Authorization": f"Bearer {tenant.write_key}"}).status_code == 200
    assert httpx.post(url, json=track("a", writeKey=tenant.write_key)).status_code == 200


@pytest.mark.parametrize("key", ["", "wk_unknown", "secret"])
def test_an_unknown_or_wrong_kind_of_key_is_401(tenant: Tenant, key: str) -> None:
    presented = tenant.secret_key if key == "secret" else key
    answer = httpx.post(
        f"{tenant.stand.url}/v1/track", json=track("a"), headers={"Authorization": f"Bearer {presented}".strip()}
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_key")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_revoked_key_stops_working(tenant: Tenant) -> None:
    assert tenant.post("track", track("a")).status_code == 200
    listed = tenant.stand.json("key", "list", "--tenant", tenant.name)
    write = next(key for key in listed if key["kind"] == "write")
    tenant.stand.run("key", "revoke", write["id"])
    deadline = time.monotonic() + 5
    while tenant.post("track", track("a")).status_code == 200 and time.monotonic() < deadline:
        pass
    assert tenant.post("track", track("a")).status_code == 401


def test_preflight_answers_what_the_browser_sdk_asks(tenant: Tenant) -> None:
    answer = httpx.options(
        f"{tenant.stand.url}/v1/t",
        headers={"Origin": "http://shop.test", "Access-Control-Request-Headers": "authorization, content-type"},
    )
    assert answer.status_code in (200, 204)
    allowed = answer.headers["access-control-allow-headers"]
    assert all(name in allowed for name in ("authorization", "content-type", "x-retry-count"))
    assert answer.headers["access-control-max-age"]
    assert "Retry-After" in tenant.post("t", track("a")).headers["access-control-expose-headers"]


def test_bodies_that_are_too_large_are_413_and_deep_ones_400(tenant: Tenant) -> None:
    large = tenant.post("track", {"userId": "a", "event": "x", "properties": {"t": "y" * 40_000}})
    assert (large.status_code, large.json()["code"]) == (413, "event_too_large")
    huge = tenant.post("batch", b'{"batch":[' + b" " * 600_000 + b"]}")
    assert (huge.status_code, huge.json()["code"]) == (413, "body_too_large")
    bomb = tenant.http.post("/v1/batch", content=gzip.compress(b" " * 300_000_000, 9))
    assert (bomb.status_code, bomb.json()["code"]) == (413, "body_too_large")
    deep = tenant.post("track", b'{"properties":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    assert (deep.status_code, deep.json()["code"]) == (400, "malformed_json")


def test_a_client_that_trickles_its_body_does_not_hold_up_others(tenant: Tenant) -> None:
    with socket.create_connection(("127.0.0.1", tenant.stand.port)) as slow:
        slow.sendall(b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        began = time.monotonic()
        assert tenant.post("track", track("a")).status_code == 200
        assert time.monotonic() - began < 5


def test_a_batch_with_some_bad_events_keeps_the_good_ones(tenant: Tenant) -> None:
    answer = tenant.post(
        "batch", {"batch": [track("a"), {"type": "track", "userId": "b"}, {"type": "nonsense"}, track("c")]}
    )
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 2
    assert [(r["index"], r["code"]) for r in answer.json()["rejected"]] == [(1, "missing_event"), (2, "invalid_type")]


@pytest.mark.parametrize(
    "capture",
    [
        "segment-py",
        "segment-py.gzip",
        "segment-py-legacy",
        "segment-node",
        "segment-browser.standard",
        "segment-browser.batching",
    ],
)
def test_captured_requests_of_real_sdks_are_answered_200(tenant: Tenant, capture: str) -> None:
    path = SHARED / "contracts" / "clients" / f"{capture}.ok.json"
    if not path.exists():
        pytest.skip(f"{path.name} is not here: ../shared is not part of the project")
    basic = base64.b64encode(f"{tenant.write_key}:".encode()).decode()
    for request in json.loads(path.read_text())["requests"]:
        method, target, _ = request["request_line"].split()
        headers = {k: v for k, v in request["headers"] if k.lower() not in ("host", "content-length", "authorization")}
        body = base64.b64decode(request["body_b64"])
        answer = httpx.request(
            method, tenant.stand.url + target, content=body, headers={**headers, "Authorization": f"Basic {basic}"}
        )
        assert answer.status_code == (200 if method == "POST" else 204), answer.text
    counts = tenant.counts()
    assert counts["events_accepted"] > 0
    assert counts["events_rejected"] == {}
    assert tenant.user("u1") is not None


def test_the_real_segment_sdk_works_with_only_its_host_changed(tenant: Tenant) -> None:
    from segment.analytics.client import Client

    client = Client(tenant.write_key, host=tenant.stand.url, sync_mode=True, gzip=True)
    client.identify("ann", {"plan": "pro", "name": "Zoë 🎉"})
    client.track("ann", "Order Completed", {"revenue": 12.5})
    client.page("ann", "Docs", "Home")
    client.group("ann", "acme", {"size": 3})
    client.alias("old-ann", "ann")
    client.track(anonymous_id="anon", event="Looked")
    counts = tenant.counts()
    assert (counts["events_accepted"], counts["events_rejected"]) == (6, {})
    ann = tenant.user("ann")
    assert ann is not None
    assert ann["traits"] == {"plan": "pro", "name": "Zoë 🎉"}
    assert ann["features"]["revenue_micros"] == 12_500_000


def test_tenants_never_mix(stand: Stand, tenant: Tenant) -> None:
    other = stand.tenant(f"{tenant.name}-other")
    tenant.post("track", track("ann"))
    assert other.user("ann") is None
    assert tenant.user("ann") is not None
    assert other.api.get("/v1/segments").json()["data"] == []
    other.close()


def test_a_published_segment_fills_and_follows(tenant: Tenant) -> None:
    tenant.post("batch", {"batch": [track(f"u{i}") for i in range(20)]})
    answer = tenant.api.put("/v1/segments/clickers", json={"predicate": {"event": "Clicked", "count": 2}})
    assert answer.status_code == 200, answer.text
    tenant.post("track", track("u3"))
    user = tenant.user("u3")
    assert user is not None
    assert user["segments"] == ["clickers"]
    deadline = time.monotonic() + 10
    while True:
        shown = tenant.api.get("/v1/segments/clickers").json()
        if shown["done"] >= shown["total"]:
            break
        assert time.monotonic() < deadline
    assert shown["members"] == 1
    bad = tenant.api.put("/v1/segments/bad", json={"predicate": {"trait": 7, "op": "like"}})
    assert bad.status_code == 422
    assert bad.json()["errors"][0]["pointer"]


def test_a_timer_fires_within_a_second_of_its_time(tenant: Tenant) -> None:
    almost = time.time() - 14 * 86_400 + 3
    tenant.api.put("/v1/segments/quiet", json={"predicate": {"seen": "not_within", "days": 14}})
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(almost)) + f".{int(almost % 1 * 1000):03}Z"
    body = {"batch": [track("sleepy", timestamp=stamp)]}
    assert tenant.post("import", body).status_code == 200
    deadline = time.monotonic() + 15
    while True:
        user = tenant.user("sleepy")
        assert user is not None
        if user["segments"] == ["quiet"]:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    entered = next(e for e in user["timeline"] if e["type"] == "segment_entered")
    from datetime import datetime

    fired = datetime.fromisoformat(entered["timestamp"]).timestamp()
    assert 0 <= fired - (almost + 14 * 86_400) < 1.0


def test_an_erased_user_is_gone_everywhere_and_stays_gone(tenant: Tenant) -> None:
    tenant.post("page", {"anonymousId": "dev"})
    tenant.post("identify", {"userId": "ann", "anonymousId": "dev", "traits": {"email": "ann@x.y"}})
    tenant.post("track", track("bob"))
    tenant.stand.settled()
    export = tenant.api.get("/v1/users/ann/export").json()
    assert {e["event"] for e in export["events"]} == {"$page", "$identify"}
    late = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 60))
    assert tenant.api.delete("/v1/users/ann").status_code == 200
    assert tenant.user("ann") is None
    tenant.stand.settled()
    assert tenant.user("dev") is None
    tenant.post("track", track("ann", timestamp=late))
    assert tenant.user("ann") is None
    assert tenant.user("bob") is not None
    assert tenant.api.delete("/v1/users/ann").status_code == 404
    warehouse = tenant.stand.data_dir / "warehouse" / f"tenant={tenant.id}"
    deadline = time.monotonic() + 60
    while b"ann@x.y" in b"".join(f.read_bytes() for f in warehouse.rglob("*.parquet")) or _mentions(warehouse, "u:ann"):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def _mentions(warehouse: Path, key: str) -> bool:
    import pyarrow.parquet as pq

    return any(
        key in pq.read_table(f, columns=["user_key"])["user_key"].to_pylist() for f in warehouse.rglob("*.parquet")
    )


def test_health_says_live_and_ready(stand: Stand) -> None:
    assert httpx.get(f"{stand.url}/livez").json()["status"] == "ok"
    ready = httpx.get(f"{stand.url}/readyz")
    assert (ready.status_code, ready.json()["reasons"]) == (200, [])


def test_the_home_page_shows_what_runs(stand: Stand, tenant: Tenant) -> None:
    tenant.post("track", track("ann", event="Clicked <b>"))
    page = httpx.get(stand.url)
    assert page.status_code == 200
    assert "Clicked &lt;b&gt;" in page.text or tenant.name in page.text
    live = httpx.get(f"{stand.url}/internal/live").json()
    assert live["events_accepted"] >= 1
    elsewhere = httpx.get(f"{stand.url}/internal/live", headers={"Host": "evil.test"})
    assert elsewhere.status_code == 401


def test_operator_endpoints_need_the_operator_token(stand: Stand, tenant: Tenant) -> None:
    for path in ("/internal/status", "/internal/shards", f"/internal/tenants/{tenant.name}/users/x"):
        assert httpx.get(stand.url + path).status_code == 401
        assert tenant.api.get(path).status_code == 401


def test_many_clients_at_once_lose_nothing(tenant: Tenant) -> None:
    def send(client: int) -> int:
        with httpx.Client(base_url=tenant.stand.url, headers=tenant.http.headers, timeout=60) as http:
            bodies = ({"batch": [track(f"u{i}", messageId=f"{client}-{n}-{i}") for i in range(20)]} for n in range(10))
            return sum(http.post("/v1/batch", json=body).status_code == 200 for body in bodies)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(send, range(8))) == 80
    assert tenant.counts()["events_accepted"] == 1600


def test_metrics_are_in_the_prometheus_format_and_count_what_was_sent(stand: Stand, tenant: Tenant) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    tenant.post("track", track("ann"))
    tenant.post("track", {"event": "x"})
    text = httpx.get(f"{stand.url}/metrics").text
    samples = {
        (s.name, s.labels.get("tenant")): s.value for f in text_string_to_metric_families(text) for s in f.samples
    }
    assert samples["whisperer_events_accepted_total", tenant.name] == 1
    assert samples["whisperer_events_rejected_total", tenant.name] == 1
    assert samples["whisperer_users", tenant.name] == 1
