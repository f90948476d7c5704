"""Requests that try to be something else, on raw sockets against the running product: none is a 500, and none gets what
another route or caller may have."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
from importlib.metadata import version

import httpx
import pytest

from tests.support.stand import Stand, Tenant

pytestmark = pytest.mark.cluster


def said(stand: Stand, request: bytes) -> tuple[int, bytes]:
    """Status and the whole answer to bytes that are sent as they are, over a connection that is then closed."""
    found = b""
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection(("127.0.0.1", stand.port), timeout=30) as connection,
    ):
        connection.sendall(request)
        while piece := connection.recv(65_536):
            found += piece
    assert found.startswith(b"HTTP/1.1 "), (request[:200], found[:200])
    return int(found[9:12]), found


def asked(stand: Stand, target: bytes, *headers: bytes, method: bytes = b"GET", host: bytes = b"") -> tuple[int, bytes]:
    host = host or f"127.0.0.1:{stand.port}".encode()
    lines = [method + b" " + target + b" HTTP/1.1", b"Host: " + host, b"Connection: close", *headers]
    return said(stand, b"\r\n".join(lines) + b"\r\n\r\n")


def bearer(key: str) -> list[bytes]:
    return [b"Authorization: Bearer " + key.encode()] if key else []


DISGUISED = [
    b"//internal/status",
    b"/./internal/status",
    b"/x/../internal/status",
    b"/v1/../internal/status",
    b"/v1/%2e%2e/internal/status",
    b"/v1/%2E%2E%2Finternal%2Fstatus",
    b"/v1/users/..%2f..%2finternal%2fstatus",
    b"/v1/track/../../internal/status",
    b"/v1/track%2f..%2f..%2finternal%2fstatus",
    b"/static/../internal/status",
    b"/static/%2e%2e%2f%2e%2e%2fapi.py",
    b"/static/..%5c..%5capi.py",
    b"/m/o/../../internal/status",
    b"/internal%2Fstatus",
    b"/%69nternal/status",
    b"/internal/status/",
    b"/internal/status;x",
    b"/internal/status%00",
    b"/INTERNAL/STATUS",
    b"/internal/tenants/../status",
    b"/-/%2e%2e/internal/status",
]
BROKEN = [
    b"/v1/users/%",
    b"/v1/users/%zz",
    b"/v1/users/%4",
    b"/v1/users/%ff%fe",
    b"/v1/users/%c0%ae%c0%ae",
    b"/v1/users/%00",
    b"/v1/users/a%0d%0aSet-Cookie:%20x",
    b"/v1/%75sers/%",
    b"/v1/campaigns/%00",
    b"/v1/campaigns/" + b"%41" * 2_000,
    b"/v1/users/" + b"a" * 12_000,
    b"/v1/users?" + b"a=%zz&" * 500,
    b"/v1/users/u/../../campaigns",
    b"/v1//campaigns",
    b"/v1/./campaigns",
    b"/v1/campaigns//",
]


@pytest.mark.parametrize("target", DISGUISED)
def test_no_spelling_of_a_path_opens_what_is_the_operators(tenant: Tenant, target: bytes) -> None:
    for key in ("", tenant.write_key, tenant.secret_key):
        status, answer = asked(tenant.stand, target, *bearer(key))
        assert status in (400, 401, 404), (key[:3], answer[:300])
        assert b'"shards"' not in answer


@pytest.mark.parametrize("target", BROKEN)
def test_a_broken_path_is_refused_and_never_an_error_of_ours(tenant: Tenant, target: bytes) -> None:
    for method in (b"GET", b"POST", b"DELETE", b"OPTIONS", b"HEAD"):
        status, answer = asked(tenant.stand, target, *bearer(tenant.secret_key), b"Content-Length: 0", method=method)
        assert 400 <= status < 500, (method, answer[:300])
        assert b"\r\nset-cookie:" not in answer.lower()


def test_a_write_key_reaches_no_control_route_behind_an_ingestion_path(tenant: Tenant) -> None:
    basic = b"Authorization: Basic " + base64.b64encode(f"{tenant.write_key}:".encode())
    body = json.dumps({"userId": "u", "event": "x"}).encode()
    length = b"Content-Length: " + str(len(body)).encode()
    for target in (
        b"/v1/track/../users/u",
        b"/v1/track%2f..%2fusers%2fu",
        b"/v1/batch/users/u",
        b"/v1//track",
        b"/v1/./track",
    ):
        lines = [b"POST " + target + b" HTTP/1.1", b"Host: x", b"Connection: close", basic, length]
        status, answer = said(tenant.stand, b"\r\n".join(lines) + b"\r\n\r\n" + body)
        assert status in (401, 404, 405), (target, answer[:300])
    assert tenant.user("u") is None


def test_an_absolute_target_is_the_same_request_as_its_path(tenant: Tenant) -> None:
    own = f"http://127.0.0.1:{tenant.stand.port}".encode()
    assert asked(tenant.stand, own + b"/internal/status", *bearer(tenant.secret_key))[0] == 401
    assert asked(tenant.stand, own + b"/v1/campaigns", *bearer(tenant.secret_key))[0] == 200
    assert asked(tenant.stand, own + b"/v1/campaigns")[0] == 401
    assert asked(tenant.stand, b"http://evil.example/v1/campaigns", *bearer(tenant.secret_key))[0] == 400


@pytest.mark.parametrize("host", [b"[", b"a b", b"a/b", b"a@b", b"a, b", b"", b"a:b", b"[::1", b"a\x80"])
def test_what_is_no_host_is_400(stand: Stand, host: bytes) -> None:
    request = b"GET /livez HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n"
    assert said(stand, request)[0] == 400
    assert said(stand, b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n")[0] == 400
    assert said(stand, b"GET /livez HTTP/1.1\r\nConnection: close\r\n\r\n")[0] == 400


CLAIMS = [
    b"X-Forwarded-Host: evil.example",
    b"X-Forwarded-Proto: https",
    b"X-Forwarded-For: 203.0.113.9",
    b"X-Forwarded-Prefix: /evil.example",
    b"X-Original-URL: /internal/status",
    b"X-Rewrite-URL: /internal/status",
    b"X-HTTP-Method-Override: DELETE",
    b"Forwarded: for=203.0.113.9;host=evil.example;proto=https",
    b"X-Whisperer-Client: 203.0.113.9",
    b"X_Whisperer_Client: 203.0.113.9",
]


def body_of(answer: bytes) -> bytes:
    return re.sub(rb'"request_id":"[^"]*"', b"", answer.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_a_client_says_of_proxies_changes_no_answer(tenant: Tenant, claim: bytes) -> None:
    for target in (b"/v1/campaigns", b"/v1/users/nobody", b"/openapi.json", b"/internal/status"):
        plain = asked(tenant.stand, target, *bearer(tenant.secret_key))
        claimed = asked(tenant.stand, target, *bearer(tenant.secret_key), claim)
        assert (plain[0], body_of(plain[1])) == (claimed[0], body_of(claimed[1]))
        assert b"evil.example" not in claimed[1]


def test_the_pages_are_shown_to_nobody_who_comes_through_a_proxy_or_by_another_name(stand: Stand) -> None:
    assert asked(stand, b"/sink")[0] == 200
    for headers, host in (
        ([b"X-Forwarded-For: 127.0.0.1"], b""),
        ([b"X-Forwarded-Proto: http"], b""),
        ([b"Forwarded: for=127.0.0.1"], b""),
        ([b"Via: 1.1 x"], b""),
        ([], b"evil.example"),
    ):
        status, answer = asked(stand, b"/sink", *headers, host=host)
        assert status == 403
        assert b"evil.example" not in answer
        assert asked(stand, b"/metrics", *headers, host=host)[0] == 401


def test_the_address_of_an_event_is_the_connections_whatever_the_client_says(tenant: Tenant) -> None:
    for claim in ("X-Forwarded-For", "X-Real-IP", "X-Whisperer-Client"):
        answer = tenant.http.post("/v1/track", json={"userId": "u", "event": "Seen"}, headers={claim: "203.0.113.9"})
        assert answer.status_code == 200
    user = tenant.user("u")
    assert user is not None
    assert "203.0.113.9" not in json.dumps(user)


def test_links_in_messages_begin_with_the_configured_address_whatever_host_was_asked(tenant: Tenant) -> None:
    text = "Your account: https://shop.example/account. No more: {{ unsubscribe_url }}"
    template = {"channel": "email", "locales": {"en": {"subject": "Hi", "text": text}}}
    assert tenant.api.put("/v1/templates/hello", json=template).status_code in (200, 201)
    shown = tenant.api.post("/v1/templates/hello/preview", json={})
    assert shown.status_code == 200
    assert "/m/u/" in shown.text
    for headers in ({"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}):
        other = tenant.api.post("/v1/templates/hello/preview", json={}, headers=headers)
        assert (other.status_code, other.json()) == (200, shown.json())


HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


def test_every_kind_of_answer_carries_its_security_headers(tenant: Tenant) -> None:
    answers = [
        tenant.post("track", {"userId": "u", "event": "x"}),
        tenant.post("track", b"no json"),
        tenant.http.options("/v1/track", headers={"Origin": "https://shop.example"}),
        tenant.api.get("/v1/campaigns"),
        tenant.api.get("/v1/users/nobody"),
        tenant.api.get("/v1/nowhere"),
        tenant.api.get("/openapi.json"),
        *(httpx.get(f"{tenant.stand.url}{path}") for path in ("/", "/sink", "/docs", "/health", "/metrics", "/m/u/x")),
    ]
    for answer in answers:
        assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS, answer.url
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "server" not in answer.headers
        assert "strict-transport-security" not in answer.headers
        assert len(answer.headers.get_list("content-security-policy")) == 1


def test_ingestion_is_open_to_every_origin_and_the_control_api_to_the_named_ones(tenant: Tenant) -> None:
    evil, named = {"Origin": "https://evil.example"}, {"Origin": "https://app.example.com"}
    preflight = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    sent = tenant.http.post("/v1/track", json={"userId": "u", "event": "x"}, headers=evil)
    assert sent.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in sent.headers
    for answer in (
        tenant.api.get("/v1/campaigns", headers=evil),
        tenant.api.get("/v1/nowhere", headers=evil),
        tenant.api.options("/v1/campaigns", headers=evil | preflight),
    ):
        assert "access-control-allow-origin" not in answer.headers
    for answer in (tenant.api.get("/v1/campaigns", headers=named), tenant.api.get("/v1/nowhere", headers=named)):
        assert answer.headers["access-control-allow-origin"] == named["Origin"]
        assert answer.headers["access-control-allow-credentials"] == "true"
    assert tenant.api.options("/v1/campaigns", headers=named | preflight).status_code == 204
    with tenant.stand.operator() as operator:
        assert "access-control-allow-origin" not in operator.get("/internal/status", headers=named).headers


def test_health_and_version_say_the_release(stand: Stand) -> None:
    release = version("user-whisperer")
    for path, status in (("/health", "ready"), ("/readyz", "ready"), ("/livez", "ok")):
        answer = httpx.get(f"{stand.url}{path}")
        assert answer.status_code == 200
        assert (answer.json()["status"], answer.json()["version"]) == (status, release)
    assert httpx.get(f"{stand.url}/version").json() == {"version": release}
    assert httpx.get(f"{stand.url}/openapi.json").json()["info"]["version"] == release


def test_a_control_body_that_trickles_is_given_up_and_one_that_never_comes_as_well(tenant: Tenant) -> None:
    head = f"POST /v1/campaigns HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {tenant.secret_key}\r\n".encode()
    head += b"Connection: close\r\nContent-Length: 100000\r\n\r\n"
    for sent in (head, head + b"{"):
        with socket.create_connection(("127.0.0.1", tenant.stand.port), timeout=30) as connection:
            connection.sendall(sent)
            assert connection.recv(65_536).startswith(b"HTTP/1.1 408 ")
