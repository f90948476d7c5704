"""Webhooks against a real HTTP server on loopback that is told, by the path, how to misbehave."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from standardwebhooks.webhooks import Webhook as Verifier

from cluster.settings import networks
from serve_apps.delivery.admission import Admission
from serve_apps.delivery.exchange import MAX_CONNECTIONS, MAX_RESPONSE_BYTES, retry_after_s
from serve_apps.delivery.provider import ADMISSION_S
from serve_apps.delivery.ssrf import Guard
from serve_apps.delivery.webhook import Webhook
from tests.support.certificates import authority
from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.channels import parse_channel
from whisperer.delivery.dispatch import Receipt, Verdict

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
NEW_SECRET = "whsec_" + base64.b64encode(b"n" * 32).decode()
NOW = 1_700_000_000_000
HERE = networks("127.0.0.0/8 ::1")


@dataclass
class Request:
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Endpoint:
    """Answers by the path: ``/<status>``, and a few names of its own. ``raw`` overrides the whole answer."""

    port: int = 0
    requests: list[Request] = field(default_factory=list)
    n_connections: int = 0
    n_sent: int = 0
    raw: bytes = b""
    extra: str = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.n_connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        target = head[0].split(" ")[1]
        self.requests.append(Request(target, headers, body))
        if target == "/hang":
            await reader.read()
            return False
        if target == "/drop":
            return False
        if target == "/trickle":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx")
            await reader.read()
            return False
        if target == "/cut":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nx")
            await writer.drain()
            return False
        if target == "/endless":
            writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(4_000):
                writer.write(b"1000\r\n" + b"x" * 4096 + b"\r\n")
                self.n_sent += 4096
                await writer.drain()
            return False
        if self.raw:
            writer.write(self.raw)
            await writer.drain()
            return False
        writer.write(f"HTTP/1.1 {target[1:4]} X\r\n{self.extra}content-length: 2\r\n\r\nok".encode())
        await writer.drain()
        return True


@asynccontextmanager
async def serving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Endpoint]:
    endpoint = Endpoint()
    server = await asyncio.start_server(endpoint.talk, "127.0.0.1", 0, ssl=tls)
    endpoint.port = server.sockets[0].getsockname()[1]
    try:
        yield endpoint
    finally:
        server.close()


@asynccontextmanager
async def client(
    url: str,
    *,
    guard: Guard | None = None,
    timeout_s: float = 10.0,
    tls: ssl.SSLContext | None = None,
    secrets: tuple[str, ...] = (SECRET,),
    now: int = NOW,
    admission_s: float = ADMISSION_S,
) -> AsyncIterator[Admission]:
    config = parse_channel("webhook", "webhook", {"url": url, "secrets": list(secrets)})
    allowing = guard or Guard("webhook", open_networks=HERE)
    adapter = Webhook(config, lambda: now, allowing, timeout_s=timeout_s, tls_context=tls)
    opened = Admission(adapter, admission_s=admission_s)
    try:
        yield opened
    finally:
        await opened.aclose()


async def post(opened: Admission, number: int = 0) -> Receipt:
    receipt = await opened.send(dispatch(number, "webhook"))
    assert receipt.send_key == dispatch(number).send_key
    assert receipt.provider == "webhook"
    return receipt


async def test_a_receiver_can_verify_what_arrives() -> None:
    now = time.time_ns() // 1_000_000  # the independent verifier looks at the clock
    async with (
        serving() as endpoint,
        client(f"http://127.0.0.1:{endpoint.port}/200?a=b", secrets=(SECRET, NEW_SECRET), now=now) as opened,
    ):
        receipt = await post(opened)
        assert (receipt.status, receipt.content_hash, receipt.locale) == (Verdict.ACCEPTED, "c0ffee", "de")
        [request] = endpoint.requests
    assert request.target == "/200?a=b"
    assert request.headers["host"] == f"127.0.0.1:{endpoint.port}"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == receipt.send_key
    for secret in (SECRET, NEW_SECRET):
        assert Verifier(secret).verify(request.body, request.headers) == json.loads(request.body)
    assert json.loads(request.body)["data"]["message"] == {"body": {"hello": "Ada"}}


@pytest.mark.parametrize(
    ("status", "becomes"),
    [(200, Verdict.ACCEPTED), (204, Verdict.ACCEPTED), (299, Verdict.ACCEPTED), (410, Verdict.REJECTED)]
    + [
        (status, Verdict.RETRY)
        for status in (300, 301, 302, 303, 307, 308, 400, 401, 404, 422, 429, 500, 502, 503, 504)
    ],
)
async def test_every_answer_has_its_status(status: int, becomes: str) -> None:
    async with serving() as endpoint, client(f"http://127.0.0.1:{endpoint.port}/{status}") as opened:
        receipt = await post(opened)
        assert (receipt.status, str(status) in receipt.detail) == (becomes, True)
        assert ("endpoint_gone" in receipt.detail) == (status == 410)


async def test_a_redirect_is_not_followed() -> None:
    async with serving() as trap, serving() as endpoint:
        endpoint.extra = f"location: http://127.0.0.1:{trap.port}/200\r\n"
        async with client(f"http://127.0.0.1:{endpoint.port}/302") as opened:
            assert (await post(opened)).status == Verdict.RETRY
        assert trap.n_connections == 0


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_wait_that_is_asked_for_is_passed_on(status: int) -> None:
    async with serving() as endpoint, client(f"http://127.0.0.1:{endpoint.port}/{status}") as opened:
        endpoint.extra = "retry-after: 120\r\n"
        assert (await post(opened)).retry_after_s == 120.0
        endpoint.extra = ""
        assert (await post(opened)).retry_after_s is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        (" 7 ", 7.0),
        ("Tue, 14 Nov 2023 22:14:20 GMT", 60.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("٧", None),
        ("9" * 100, None),
        (None, None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str | None, seconds: float | None) -> None:
    assert retry_after_s(value, NOW) == seconds


async def test_without_an_answer_to_all_of_a_request_the_outcome_is_unknown_and_may_be_asked_for_again() -> None:
    async with serving() as endpoint, client(f"http://127.0.0.1:{endpoint.port}/hang", timeout_s=1.5) as opened:
        receipt = await post(opened)
        assert (receipt.status, receipt.detail) == (Verdict.UNKNOWN, "no answer within 1.5 s")
        assert receipt.repeatable  # a receiver takes each webhook-id once
        assert len(endpoint.requests) == 1


@pytest.mark.parametrize("path", ["trickle", "cut"])
async def test_an_endpoint_that_said_200_is_not_asked_again_for_want_of_a_body(path: str) -> None:
    async with serving() as endpoint, client(f"http://127.0.0.1:{endpoint.port}/{path}", timeout_s=1.5) as opened:
        assert (await post(opened)).status == Verdict.ACCEPTED


async def test_an_endless_answer_is_read_to_a_bound_only() -> None:
    async with serving() as endpoint, client(f"http://127.0.0.1:{endpoint.port}/endless") as opened:
        assert (await post(opened)).status == Verdict.ACCEPTED
        # What the sockets' buffers take up comes on top of what was read.
        assert endpoint.n_sent < 8_000_000
        assert endpoint.n_sent > MAX_RESPONSE_BYTES


@pytest.mark.parametrize(
    "raw",
    [
        b"no http at all\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000,
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
    ],
    ids=["no-http", "no-status", "endless-header", "bad-length"],
)
async def test_an_answer_that_is_no_http_says_nothing(raw: bytes) -> None:
    async with serving() as endpoint, client(f"http://127.0.0.1:{endpoint.port}/200") as opened:
        endpoint.raw = raw
        receipt = await post(opened)
        assert (receipt.status, receipt.repeatable, receipt.detail) == (Verdict.UNKNOWN, True, "no answer")


async def test_a_dropped_connection_is_unknown_and_a_closed_port_had_nothing() -> None:
    async with serving() as endpoint:
        async with client(f"http://127.0.0.1:{endpoint.port}/drop") as opened:
            assert (await post(opened)).status == Verdict.UNKNOWN
        port = endpoint.port
    async with client(f"http://127.0.0.1:{port}/200") as opened:
        assert (await post(opened)).status == Verdict.RETRY


async def test_whoever_finds_no_connection_free_comes_back_later() -> None:
    """A burst over a slow endpoint uses up nobody's limits: what was not begun was no attempt."""
    limits = {"timeout_s": 1.5, "admission_s": 0.5}
    async with serving() as endpoint, client(f"http://127.0.0.1:{endpoint.port}/hang", **limits) as opened:
        receipts = await asyncio.gather(*(post(opened, number) for number in range(2 * MAX_CONNECTIONS)))
        assert [each.status for each in receipts] == [Verdict.UNKNOWN] * MAX_CONNECTIONS + [
            Verdict.WAITING
        ] * MAX_CONNECTIONS
        assert len(endpoint.requests) == MAX_CONNECTIONS


async def test_connections_are_used_again() -> None:
    async with serving() as endpoint, client(f"http://127.0.0.1:{endpoint.port}/200") as opened:
        for number in range(5):
            assert (await post(opened, number)).status == Verdict.ACCEPTED
        assert endpoint.n_connections == 1
        receipts = await asyncio.gather(*(opened.send(dispatch(number, "webhook")) for number in range(50)))
        assert [receipt.status for receipt in receipts] == [Verdict.ACCEPTED] * 50
        assert [receipt.send_key for receipt in receipts] == [dispatch(number).send_key for number in range(50)]
        assert endpoint.n_connections <= 16


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]"])
async def test_this_machine_is_out_of_reach_unless_it_is_allowed(host: str) -> None:
    async with serving() as endpoint, client(f"http://{host}:{endpoint.port}/200", guard=Guard("webhook")) as opened:
        receipt = await post(opened)
        assert endpoint.n_connections == 0
    assert receipt.status == Verdict.REJECTED
    assert "private, local or reserved" in receipt.detail


async def test_a_name_that_changes_its_address_between_check_and_connection_gains_nothing() -> None:
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    async with serving() as endpoint:
        guard = Guard("webhook", open_networks=HERE, resolve=rebinding)
        async with client(f"http://hooks.example.test:{endpoint.port}/200", guard=guard) as opened:
            assert (await post(opened)).status == Verdict.ACCEPTED
            assert asked == ["hooks.example.test"]
            assert endpoint.requests[0].headers["host"] == f"hooks.example.test:{endpoint.port}"
        async with client(f"http://hooks.example.test:{endpoint.port}/200", guard=guard) as opened:
            assert (await post(opened)).status == Verdict.REJECTED
        assert endpoint.n_connections == 1


async def test_the_certificate_is_that_of_the_name_not_of_the_address(tmp_path: Path) -> None:
    async def here(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    server_context, trusting = authority(tmp_path, "hooks.example.test")
    guard = Guard("webhook", open_networks=HERE, resolve=here)
    async with serving(server_context) as endpoint:
        for host, tls, becomes in (
            ("hooks.example.test", trusting, Verdict.ACCEPTED),
            ("other.example.test", trusting, Verdict.RETRY),
            ("hooks.example.test", None, Verdict.RETRY),
        ):
            url = f"https://{host}:{endpoint.port}/200"
            async with client(url, guard=guard, tls=tls) as opened:
                assert (await post(opened)).status == becomes
        assert len(endpoint.requests) == 1


async def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with serving() as endpoint, client(f"http://127.0.0.1:{endpoint.port}/200") as opened:
        assert (await post(opened)).status == Verdict.ACCEPTED


async def test_nothing_that_is_shown_or_logged_holds_a_secret(caplog: pytest.LogCaptureFixture) -> None:
    async with serving() as endpoint, client(f"http://127.0.0.1:{endpoint.port}/500?token=geheim") as opened:
        with caplog.at_level(logging.DEBUG):
            receipt = await post(opened)
    shown = repr(opened) + repr(receipt) + caplog.text
    assert "geheim" not in shown
    assert SECRET not in shown


async def test_a_payload_that_is_too_large_is_not_posted() -> None:
    async with serving() as endpoint, client(f"http://127.0.0.1:{endpoint.port}/200") as opened:
        receipt = await opened.send(dispatch(0, "webhook", parts={"body": "x" * 30_000}))
        assert receipt.status == Verdict.REJECTED
        assert endpoint.requests == []
