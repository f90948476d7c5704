"""Mail over a real SMTP server (aiosmtpd) that is told, address by address, how to misbehave."""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any, cast

import pytest
from aiosmtpd import smtp as aiosmtpd
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session

from cluster.settings import networks
from serve_apps.delivery import smtp as adapter
from serve_apps.delivery.admission import Admission
from serve_apps.delivery.provider import ADMISSION_S
from serve_apps.delivery.smtp import Smtp
from serve_apps.delivery.ssrf import Guard
from tests.support.certificates import authority
from tests.unit.whisperer.delivery.dispatches import dispatch
from tests.unit.whisperer.delivery.signing_keys import KINDS, is_genuine, signing
from whisperer.delivery.channels import parse_channel
from whisperer.delivery.dispatch import Receipt, Verdict

NOW = 1_700_000_000_000
HERE = Guard("smtp", open_networks=networks("127.0.0.0/8"))


class Mailbox:
    """The server's handler: the local part of a recipient says what happens to it."""

    def __init__(self) -> None:
        self.received: list[Envelope] = []
        self.sessions: set[int] = set()
        self.copies: Counter[str] = Counter()
        """Whole messages by recipient, answered or not: what readers may have."""
        self.pause_s = 0.0
        """Between the final dot and the answer."""

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
        self.copies[envelope.rcpt_tos[0]] += 1
        await asyncio.sleep(self.pause_s)
        local = envelope.rcpt_tos[0].partition("@")[0]
        if local == "hang":
            await asyncio.Event().wait()
        if local == "drop":
            assert server.transport is not None
            server.transport.abort()
            return "250 nobody hears this"
        if local == "garbage":
            return "hello, this is no answer"
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


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[int]:
    """Something else on a free port of loopback, which does with each connection as it is told."""
    tasks: list[asyncio.Task[None]] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        try:
            await talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            """The client went, or the test is over."""
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0)


@asynccontextmanager
async def client(
    port: int,
    tls_context: ssl.SSLContext | None = None,
    guard: Guard = HERE,
    admission_s: float = ADMISSION_S,
    **config: Any,
) -> AsyncIterator[Admission]:
    given = {"host": "127.0.0.1", "port": port, "sender": "Ada <hello@example.com>", "tls": "none", "timeout_s": 10}
    parsed = parse_channel("email", "smtp", given | config)
    opened = Admission(Smtp(parsed, lambda: NOW, guard, tls_context=tls_context), admission_s=admission_s)
    try:
        yield opened
    finally:
        await opened.aclose()


async def one(opened: Admission, address: str, number: int = 0, **fields: Any) -> Receipt:
    receipt = await opened.send(dispatch(number, address=address, **fields))
    assert receipt.send_key == dispatch(number).send_key
    return receipt


async def several(opened: Admission, *addresses: str) -> list[Receipt]:
    return list(await asyncio.gather(*(one(opened, address, n) for n, address in enumerate(addresses))))


async def test_a_message_arrives_whole() -> None:
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port) as opened:
        receipt = await one(opened, "ada@bücher.example", headers={"List-Unsubscribe": "<https://example.com/u/1>"})
    assert (receipt.status, receipt.provider, receipt.provider_id) == (Verdict.ACCEPTED, "smtp", "1")
    assert (receipt.content_hash, receipt.locale) == ("c0ffee", "de")
    [envelope] = mailbox.received
    assert (envelope.mail_from, envelope.rcpt_tos) == ("hello@example.com", ["ada@xn--bcher-kva.example"])
    assert isinstance(envelope.content, bytes)
    message = message_from_bytes(envelope.content, policy=default)
    assert message["From"] == "Ada <hello@example.com>"
    assert message["Message-ID"] == f"<{receipt.send_key}@example.com>"
    assert message["List-Unsubscribe"] == "<https://example.com/u/1>"


@pytest.mark.parametrize(
    ("sender", "expected"),
    [
        ({}, ("Ada <hello@example.com>", "answers@example.com")),
        ({"from_name": "Acme, Inc."}, ('"Acme, Inc." <hello@example.com>', "answers@example.com")),
        ({"reply_to": "Help <help@acme.example>"}, ("Ada <hello@example.com>", "Help <help@acme.example>")),
        (
            {"from_name": "ادا", "reply_to": "👩\u200d💻 <help@acme.example>"},
            ("=?utf-8?b?2KfYr9in?= <hello@example.com>", "=?utf-8?b?8J+RqeKAjfCfkrs=?= <help@acme.example>"),
        ),
    ],
)
async def test_a_campaign_s_sender_goes_before_the_channel_s_and_the_envelope_stays_the_channel_s(
    sender: dict[str, str], expected: tuple[str, str]
) -> None:
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port, reply_to="answers@example.com") as opened:
        receipt = await one(opened, "ada@example.com", **sender)
    assert receipt.status == Verdict.ACCEPTED
    [envelope] = mailbox.received
    assert envelope.mail_from == "hello@example.com"
    assert isinstance(envelope.content, bytes)
    head = envelope.content.partition(b"\r\n\r\n")[0].replace(b"\r\n ", b" ").decode("ascii").split("\r\n")
    found = {name: value for name, _, value in (line.partition(": ") for line in head)}
    assert (found["From"], found["Reply-To"]) == expected


@pytest.mark.parametrize(
    ("local", "status", "said"),
    [
        ("busy", Verdict.RETRY, "451"),
        ("later", Verdict.RETRY, "452"),
        ("bye", Verdict.RETRY, "421"),
        ("gone", Verdict.BOUNCED, "550 5.1.1 to the recipient"),
        ("unknown", Verdict.BOUNCED, "550"),
        ("full", Verdict.REJECTED, "552"),
        ("policy", Verdict.REJECTED, "550 5.7.1"),
        ("login", Verdict.REJECTED, "530"),
        ("spam", Verdict.REJECTED, "554"),
        ("drop", Verdict.UNKNOWN, "handed over, then the connection broke"),
        ("garbage", Verdict.UNKNOWN, "no SMTP answer"),
    ],
)
async def test_every_answer_has_its_status(local: str, status: str, said: str) -> None:
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port) as opened:
        receipt = await one(opened, f"{local}@example.com")
        assert (receipt.status, said in receipt.detail) == (status, True), receipt.detail
        assert "user" not in receipt.detail  # the server's words stay there
        assert (
            await one(opened, "ada@example.com", 1)
        ).status == Verdict.ACCEPTED  # the next message is none the worse
    assert len(mailbox.received) == 1


async def test_after_the_final_dot_silence_is_an_unknown_outcome_and_the_others_go_on() -> None:
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port, answer_timeout_s=1) as opened:
        receipts = await several(opened, "hang@example.com", "ada@example.com")
    assert [(receipt.status, receipt.repeatable) for receipt in receipts] == [
        (Verdict.UNKNOWN, False),
        (Verdict.ACCEPTED, False),
    ]
    assert receipts[0].detail == "handed over, then no answer within 1 s"


async def test_a_server_that_answers_late_after_the_final_dot_is_waited_for() -> None:
    """Its filtering takes longer than everything else may: the limit after the dot is another one."""
    mailbox = Mailbox()
    mailbox.pause_s = 1.5
    async with serving(mailbox) as port, client(port, timeout_s=1) as opened:
        receipts = await several(opened, *(f"ada-{n}@example.com" for n in range(5)))
    assert {receipt.status for receipt in receipts} == {Verdict.ACCEPTED}
    assert set(mailbox.copies.values()) == {1}


async def test_a_burst_over_a_slow_server_is_never_cut_off() -> None:
    """Whoever finds no connection free comes back later; a message that was begun has all its time."""
    mailbox = Mailbox()
    mailbox.pause_s = 0.4
    waiting = [f"ada-{n}@example.com" for n in range(5 * adapter.MAX_CONNECTIONS)]
    async with serving(mailbox) as port, client(port, timeout_s=1, admission_s=0.5) as opened:
        n_turned_away = 0
        while waiting:
            receipts = await several(opened, *waiting)
            assert {receipt.status for receipt in receipts} <= {Verdict.ACCEPTED, Verdict.WAITING}
            waiting = [who for who, receipt in zip(waiting, receipts, strict=True) if receipt.status == Verdict.WAITING]
            n_turned_away += len(waiting)
    assert n_turned_away > 0
    assert set(mailbox.copies.values()) == {1}
    assert len(mailbox.copies) == 5 * adapter.MAX_CONNECTIONS


async def test_a_server_that_says_nothing_at_all_is_given_up_on() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with talking(silent) as port, client(port, timeout_s=1, admission_s=0.5) as opened:
        receipts = await several(opened, *["ada@example.com"] * (2 * adapter.MAX_CONNECTIONS))
    n = adapter.MAX_CONNECTIONS
    assert [receipt.status for receipt in receipts] == [Verdict.RETRY] * n + [Verdict.WAITING] * n
    assert {receipt.detail for receipt in receipts[:n]} == {"no connection: no answer within 1 s"}


async def test_a_server_that_takes_no_more_of_a_message_has_not_got_it() -> None:
    """The body fills the system's buffers before the final dot: nothing can have been accepted."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test ESMTP\r\n")
        while line := await reader.readline():
            writer.write(b"354 go on\r\n" if line.startswith(b"DATA") else b"250 OK\r\n")
            if line.startswith(b"DATA"):
                await asyncio.sleep(3_600)

    parts = {"subject": "Hello", "text": ("x" * 70 + "\n") * 200_000}
    async with talking(half) as port, client(port, timeout_s=1) as opened:
        receipt = await one(opened, "ada@example.com", parts=parts)
    assert (receipt.status, receipt.detail) == (
        Verdict.RETRY,
        "before the message was handed over: no answer within 1 s",
    )


async def test_a_connection_that_the_server_ended_while_it_was_idle_is_replaced() -> None:
    mailbox = Mailbox()
    async with serving(mailbox, timeout=0.2) as port, client(port) as opened:
        assert (await one(opened, "ada@example.com")).status == Verdict.ACCEPTED
        await asyncio.sleep(0.5)
        assert (await one(opened, "bob@example.com", 1)).status == Verdict.ACCEPTED


SECRET_BANNERS = {
    "a socket that is no mail server": b"SSH-2.0-OpenSSH_9.2 SECRET\r\n",
    "no greeting but a banner": b"554 SECRET go away\r\n",
    "a banner of many lines": b"554-SECRET\r\n" * 50 + b"554 SECRET\r\n",
    "a database": b"-ERR SECRET unknown command\r\n",
    "an endless line": b"SECRET" * 100_000,
    "endless lines": b"220-SECRET\r\n" * 100_000,
    "no newline": b"220 SECRET",
    "binary": bytes(range(256)) + b"SECRET\n",
    "a code that is none": b"999 SECRET\r\n",
    "a code in disguise": b"+22 SECRET\r\n",
}


@pytest.mark.parametrize("said", SECRET_BANNERS.values(), ids=SECRET_BANNERS.keys())
async def test_what_stands_at_the_host_is_never_read_out(said: bytes) -> None:
    async def banner(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await reader.read()

    async with talking(banner) as port, client(port, timeout_s=1) as opened:
        receipt = await one(opened, "ada@example.com")
    assert receipt.status == Verdict.RETRY
    assert not {"SECRET", "SSH", "ERR", "554", "999"} & set(re.findall(r"[A-Z]{3,}|\d{3}", repr(receipt)))
    assert receipt.detail.startswith("no connection: ")


async def test_words_after_a_proper_greeting_stay_with_the_server_too() -> None:
    """Code, enhanced code and the queue's id are told, nothing else, whatever stage it is said at."""

    async def chatting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 SECRET\r\n")
        n = 0
        while line := await reader.readline():
            if line.startswith(b"DATA"):
                writer.write(b"354 SECRET\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                n += 1
                writer.write(b"250 2.0.0 Ok: queued as 4F2A-1 SECRET\r\n" if n == 1 else b"554 5.6.0 SECRET\r\n")
            else:
                writer.write(b"250 SECRET\r\n")

    async with talking(chatting) as port, client(port) as opened:
        taken, refused = await one(opened, "ada@example.com"), await one(opened, "bob@example.com", 1)
    assert (taken.status, taken.provider_id, taken.detail) == (Verdict.ACCEPTED, "4F2A-1", "")
    assert (refused.status, refused.detail) == (Verdict.REJECTED, "the server answered 554 5.6.0 to the message")


async def test_a_host_inside_the_network_is_not_connected_to_unless_the_operator_opened_it() -> None:
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port, guard=Guard("smtp")) as opened:
        for host in ("127.0.0.1", "localhost"):
            cast(Smtp, opened._adapter)._config["host"] = host
            receipt = await one(opened, "ada@example.com")
            assert receipt.status == Verdict.RETRY
            assert receipt.detail == (
                "no connection: the host's address is private, local or reserved; see delivery.open_networks"
            )
    assert mailbox.sessions == set()


async def test_the_connection_goes_to_the_checked_address_and_tls_asks_for_the_host(tmp_path: Path) -> None:
    server_context, trusting = authority(tmp_path, "mail.example.com")
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    mailbox = Mailbox()
    guard = Guard("smtp", open_networks=networks("127.0.0.1"), resolve=rebinding)
    async with (
        serving(mailbox, tls_context=server_context) as port,
        client(port, trusting, guard, host="mail.example.com", tls="starttls") as opened,
    ):
        assert (await one(opened, "ada@example.com")).status == Verdict.ACCEPTED
    assert asked == ["mail.example.com"]  # resolved once, and the certificate was the host's


async def test_a_server_that_is_not_there_is_tried_again_later() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening
        async with client(taken.getsockname()[1]) as opened:
            receipt = await one(opened, "ada@example.com")
    assert (receipt.status, "no connection" in receipt.detail) == (Verdict.RETRY, True)


async def test_what_cannot_be_sent_never_reaches_the_server() -> None:
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port) as opened:
        assert (await one(opened, "ada@example.com\r\nRCPT TO:<eve@example.com>")).status == Verdict.REFUSED
        bad = await one(opened, "ada@example.com", headers={"Bcc": "eve@example.com"})
        assert (bad.status, "Bcc" in bad.detail) == (Verdict.REJECTED, True)
    assert mailbox.received == []


async def test_connections_are_used_again_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "MAX_MESSAGES_A_CONNECTION", 3)
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port) as opened:
        for n in range(6):
            assert (await one(opened, "ada@example.com", n)).status == Verdict.ACCEPTED
        assert len(mailbox.sessions) == 2
        receipts = await several(opened, *["ada@example.com"] * 40)
        assert [receipt.status for receipt in receipts] == [Verdict.ACCEPTED] * 40
        assert len(cast(Smtp, opened._adapter)._idle) <= adapter.MAX_CONNECTIONS


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
            assert (await one(opened, "ada@example.com")).status == Verdict.ACCEPTED
            assert "geheim" not in repr(opened)
        async with client(port, trusting, tls="starttls", username="ada", password="verkehrt") as opened:
            receipt = await one(opened, "ada@example.com")
    assert (receipt.status, "535" in receipt.detail, "verkehrt" in receipt.detail) == (Verdict.RETRY, True, False)


@pytest.mark.parametrize("mode", ["starttls", "tls"])
async def test_certificates_are_verified(mode: str, tmp_path: Path) -> None:
    server_context, trusting = authority(tmp_path, "127.0.0.1")
    mailbox = Mailbox()
    options: dict[str, Any] = {"tls": {"over_tls": server_context}, "starttls": {"tls_context": server_context}}[mode]
    async with serving(mailbox, **options) as port:
        async with client(port, trusting, tls=mode) as opened:
            assert (await one(opened, "ada@example.com")).status == Verdict.ACCEPTED
        async with client(port, tls=mode) as opened:  # the system does not know this authority
            receipt = await one(opened, "ada@example.com", 1)
    assert (receipt.status, "no connection" in receipt.detail) == (Verdict.RETRY, True)
    assert len(mailbox.received) == 1


async def test_a_server_without_starttls_is_not_talked_to_in_the_clear(tmp_path: Path) -> None:
    _, trusting = authority(tmp_path, "127.0.0.1")
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port, trusting, tls="starttls") as opened:
        receipt = await one(opened, "ada@example.com")
    assert receipt.status == Verdict.RETRY
    assert mailbox.received == []


@pytest.mark.parametrize("kind", KINDS)
async def test_what_arrives_verifies_with_the_record_that_the_channel_shows(kind: str) -> None:
    """Judged by dkimpy on the bytes that the server took: long lines, UTF-8, dots at the start of lines, line ends."""
    texts = [
        "Hello,\nAda",
        ".\n..dots\n.\n\n",
        "x" * 3_000 + "\n" + "Grüße שלום 🎉 " * 300,
        "a  \t b \t \r\n \t\rc\n\n\n",
    ]
    headers = {"List-Unsubscribe": "<https://x.co/u>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    mailbox = Mailbox()
    async with serving(mailbox) as port, client(port, dkim=signing(kind), reply_to="r@x.co") as opened:
        for n, text in enumerate(texts):
            parts = {"subject": "Grüße 🎉", "text": text, "html": f"<p>{text}</p>"}
            assert (await one(opened, "ada@example.com", n, parts=parts, headers=headers)).status == Verdict.ACCEPTED
        assert "PRIVATE" not in repr(opened)
    for envelope in mailbox.received:
        assert isinstance(envelope.content, bytes)
        assert is_genuine(envelope.content, kind)
        assert not is_genuine(envelope.content.replace(b"One-Click", b"Two-Click"), kind)
    assert len(mailbox.received) == len(texts)
