"""Mail over a real SMTP server (aiosmtpd) that is told, address by address, how to misbehave."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd import smtp as aiosmtpd
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from serve_apps.delivery import smtp as adapter
from serve_apps.delivery.smtp import Smtp
from tests.integration.certificates import authority
from tests.unit.delivery.dispatches import dispatch
from whisperer.delivery.channels import parse_channel
from whisperer.delivery.dispatch import ACCEPTED, BOUNCED, REFUSED, REJECTED, RETRY, Receipt

NOW = 1_700_000_000_000


class Mailbox:
    """The server's handler: the local part of a recipient says what happens to it."""

    def __init__(self) -> None:
        self.received: list[Envelope] = []
        self.sessions: set[int] = set()

    async def handle_RCPT(
        self, server: aiosmtpd.SMTP, session: Session, envelope: Envelope, address: str, _: Any
    ) -> str:
        answers = {
            "busy": "451 4.3.0 try again later",
            "gone": f"550 5.1.1 <{address}>: no such user",
            "unknown": "550 no such user",
            "full": "552 5.2.2 mailbox full",
            "policy": "550 5.7.1 relaying denied",
            "login": "530 5.7.0 authentication required",
            "bye": "421 4.3.2 shutting down",
        }
        answer = answers.get(address.partition("@")[0])
        if answer is not None:
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: aiosmtpd.SMTP, session: Session, envelope: Envelope) -> str:
        self.sessions.add(id(session))
        local = envelope.rcpt_tos[0].partition("@")[0]
        if local == "hang":
            await asyncio.Event().wait()
        if local == "drop":
            assert server.transport is not None
            server.transport.abort()
            return "250 nobody hears this"
        if local == "later":
            return "452 4.2.2 disk full"
        if local == "spam":
            return "554 5.7.1 message refused"
        self.received.append(envelope)
        return f"250 2.0.0 queued as {len(self.received)}"


@asynccontextmanager
async def serving(mailbox: Mailbox, **options: Any) -> AsyncIterator[int]:
    """The server on a free port of loopback, inside the test's own loop."""
    loop = asyncio.get_running_loop()
    over_tls = options.pop("over_tls", None)
    talking: list[aiosmtpd.SMTP] = []

    def make() -> aiosmtpd.SMTP:
        talking.append(aiosmtpd.SMTP(mailbox, hostname="mail.test", loop=loop, **options))
        return talking[-1]

    server = await loop.create_server(make, "127.0.0.1", 0, ssl=over_tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in talking:
            if connection.transport is not None:
                connection.transport.abort()
            if connection._handler_coroutine is not None:
                connection._handler_coroutine.cancel()
        tasks = [connection._handler_coroutine for connection in talking if connection._handler_coroutine is not None]
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def client(port: int, tls_context: ssl.SSLContext | None = None, **config: Any) -> AsyncIterator[Smtp]:
    given = {"host": "127.0.0.1", "port": port, "sender": "Ada <hello@example.com>", "tls": "none", "timeout_s": 10}
    opened = Smtp(parse_channel("email", "smtp", given | config), lambda: NOW, tls_context=tls_context)
    try:
        yield opened
    finally:
        await opened.aclose()


async def one(opened: Smtp, address: str, number: int = 0, **fields: Any) -> Receipt:
    [receipt] = await opened.send([dispatch(number, address=address, **fields)])
    assert receipt.send_key == dispatch(number).send_key
    return receipt


async def test_a_message_arrives_whole() -> None:
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port) as opened:
        receipt = await one(opened, "ada@bücher.example", headers={"List-Unsubscribe": "<https://example.com/u/1>"})
    assert (receipt.status, receipt.provider, receipt.provider_id) == (ACCEPTED, "smtp", "2.0.0 queued as 1")
    assert (receipt.content_hash, receipt.locale) == ("c0ffee", "de")
    [envelope] = mailbox.received
    assert (envelope.mail_from, envelope.rcpt_tos) == ("hello@example.com", ["ada@xn--bcher-kva.example"])
    assert isinstance(envelope.content, bytes)
    message = message_from_bytes(envelope.content, policy=default)
    assert message["From"] == "Ada <hello@example.com>"
    assert message["Message-ID"] == f"<{receipt.send_key}@example.com>"
    assert message["List-Unsubscribe"] == "<https://example.com/u/1>"


@pytest.mark.parametrize(
    ("local", "status", "said"),
    [
        ("busy", RETRY, "451"),
        ("later", RETRY, "452"),
        ("bye", RETRY, "421"),
        ("gone", BOUNCED, "550 5.1.1 <<address>>: no such user"),
        ("unknown", BOUNCED, "550"),
        ("full", REJECTED, "552"),
        ("policy", REJECTED, "550 5.7.1"),
        ("login", REJECTED, "530"),
        ("spam", REJECTED, "554"),
        ("drop", RETRY, "connection broke"),
    ],
)
async def test_every_answer_has_its_status(local: str, status: str, said: str) -> None:
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port) as opened:
        receipt = await one(opened, f"{local}@example.com")
        assert (receipt.status, said in receipt.detail) == (status, True), receipt.detail
        assert f"{local}@example.com" not in receipt.detail
        assert (await one(opened, "ada@example.com", 1)).status == ACCEPTED  # the next message is none the worse
    assert len(mailbox.received) == 1


async def test_a_server_that_hangs_is_given_up_on_and_the_others_go_on() -> None:
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port, timeout_s=3) as opened:
        receipts = await opened.send(
            [dispatch(n, address=f"{who}@example.com") for n, who in enumerate(("hang", "ada"))]
        )
    assert [receipt.status for receipt in receipts] == [RETRY, ACCEPTED]
    assert "within 3 s" in receipts[0].detail or "connection broke" in receipts[0].detail


async def test_a_server_that_says_nothing_at_all_is_given_up_on() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with client(server.sockets[0].getsockname()[1], timeout_s=1) as opened:
        receipts = await opened.send([dispatch(n) for n in range(3 * adapter.MAX_CONNECTIONS)])
    server.close()
    # Those that only waited for a connection are bounded as well.
    assert {(receipt.status, receipt.detail) for receipt in receipts} == {(RETRY, "no answer within 1 s")}


async def test_a_server_that_is_not_there_is_tried_again_later() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening
        async with client(taken.getsockname()[1]) as opened:
            receipt = await one(opened, "ada@example.com")
    assert (receipt.status, "no connection" in receipt.detail) == (RETRY, True)


async def test_what_cannot_be_sent_never_reaches_the_server() -> None:
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port) as opened:
        assert (await one(opened, "ada@example.com\r\nRCPT TO:<eve@example.com>")).status == REFUSED
        bad = await one(opened, "ada@example.com", headers={"Bcc": "eve@example.com"})
        assert (bad.status, "Bcc" in bad.detail) == (REJECTED, True)
    assert mailbox.received == []


async def test_connections_are_used_again_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "MAX_MESSAGES_A_CONNECTION", 3)
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port) as opened:
        for n in range(6):
            assert (await one(opened, "ada@example.com", n)).status == ACCEPTED
        assert len(mailbox.sessions) == 2
        receipts = await opened.send([dispatch(n, address="ada@example.com") for n in range(40)])
        assert [receipt.status for receipt in receipts] == [ACCEPTED] * 40
        assert len(opened._idle) <= adapter.MAX_CONNECTIONS


async def test_a_login_is_made_and_a_wrong_password_is_about_us_not_the_message(tmp_path: Path) -> None:
    def authenticate(
        server: aiosmtpd.SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        return AuthResult(success=data.password == b"geheim", handled=False)

    server_context, trusting = authority(tmp_path, "127.0.0.1")
    mailbox = Mailbox()
    options = {"authenticator": authenticate, "auth_required": True, "tls_context": server_context}
    async with serving(mailbox, **options) as port:
        async with client(port, trusting, tls="starttls", username="ada", password="geheim") as opened:
            assert (await one(opened, "ada@example.com")).status == ACCEPTED
            assert "geheim" not in repr(opened)
        async with client(port, trusting, tls="starttls", username="ada", password="verkehrt") as opened:
            receipt = await one(opened, "ada@example.com")
    assert (receipt.status, "535" in receipt.detail, "verkehrt" in receipt.detail) == (RETRY, True, False)


@pytest.mark.parametrize("mode", ["starttls", "tls"])
async def test_certificates_are_verified(mode: str, tmp_path: Path) -> None:
    server_context, trusting = authority(tmp_path, "127.0.0.1")
    mailbox = Mailbox()
    options: dict[str, Any] = {"tls": {"over_tls": server_context}, "starttls": {"tls_context": server_context}}[mode]
    async with serving(mailbox, **options) as port:
        async with client(port, trusting, tls=mode) as opened:
            assert (await one(opened, "ada@example.com")).status == ACCEPTED
        async with client(port, tls=mode) as opened:  # the system does not know this authority
            receipt = await one(opened, "ada@example.com", 1)
    assert (receipt.status, "no connection" in receipt.detail) == (RETRY, True)
    assert len(mailbox.received) == 1


async def test_a_server_without_starttls_is_not_talked_to_in_the_clear(tmp_path: Path) -> None:
    _, trusting = authority(tmp_path, "127.0.0.1")
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port, trusting, tls="starttls") as opened:
        receipt = await one(opened, "ada@example.com")
    assert receipt.status == RETRY
    assert mailbox.received == []
