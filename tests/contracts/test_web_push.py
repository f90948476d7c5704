"""Web push against a push service on loopback that reads what comes as the browser and the service would."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from serve_apps.delivery.adapters import maker
from tests.support.provider_server import HERE, NOW
from tests.unit.whisperer.delivery.browser import decrypted, subscription
from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.channels import parse_channel
from whisperer.delivery.dispatch import Receipt, Verdict

CONFIG = {"vapid_private_key": "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw", "subject": "mailto:ada@example.com"}


@dataclass
class PushService:
    """Answers by the path, ``/<status>``; ``/0`` breaks the connection."""

    port: int = 0
    taken: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("ascii").split("\r\n")
                headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in head[1:] if line)}
                body = await reader.readexactly(int(headers["content-length"]))
                status = int(head[0].split(" ")[1].strip("/"))
                self.taken.append((head[0], headers, body))
                if not status:
                    return
                writer.write(f"HTTP/1.1 {status} leak\r\nlocation: /leak\r\ncontent-length: 4\r\n\r\nleak".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            """Whoever called has gone."""
        finally:
            writer.close()


@asynccontextmanager
async def serving() -> AsyncIterator[PushService]:
    service = PushService()
    listening = await asyncio.start_server(service.talk, "127.0.0.1", 0)
    service.port = listening.sockets[0].getsockname()[1]
    try:
        yield service
    finally:
        listening.close()


async def sent(address: str, *, inside: bool = True, body: str = "Hi Ada", **more: str) -> Receipt:
    adapter = maker(lambda: NOW, HERE if inside else [])("webpush", parse_channel("push", "webpush", CONFIG))
    try:
        one = dispatch(1, "push", address=address, parts={"title": "Hi", "body": body} | more, reference="r" * 256)
        receipt = await adapter.send(one)
    finally:
        await adapter.aclose()
    assert "leak" not in repr(receipt)
    assert "127.0.0.1" not in repr(receipt)
    return receipt


@pytest.mark.parametrize("text", ["Hi Ada", "\u202eמשה\u202c 🎉 A\x00d\ud83d\r\nBcc: eve@example.com"])
async def test_a_browser_reads_the_message_and_the_service_knows_the_sender(text: str) -> None:
    async with serving() as service:
        receipt = await sent(subscription(f"http://127.0.0.1:{service.port}/201"), body=text)
        [(line, headers, body)] = service.taken
    assert (receipt.status, line) == (Verdict.ACCEPTED, "POST /201 HTTP/1.1")
    assert (headers["content-encoding"], headers["ttl"]) == ("aes128gcm", "86400")
    assert headers["authorization"].startswith("vapid t=")
    key = dispatch(1).send_key
    said = json.loads(decrypted(body))
    clean = text.replace("\x00", "").replace("\ud83d", "?")
    assert said == {"title": "Hi", "body": clean, "send_key": key, "reference": "r" * 256}


@pytest.mark.parametrize(
    ("status", "meant"),
    [
        (410, Verdict.BOUNCED),
        (404, Verdict.BOUNCED),
        (400, Verdict.REJECTED),
        (413, Verdict.REJECTED),
        (401, Verdict.RETRY),
        (403, Verdict.RETRY),
        (429, Verdict.RETRY),
        (503, Verdict.RETRY),
        (307, Verdict.RETRY),
        (500, Verdict.UNKNOWN),
        (0, Verdict.UNKNOWN),
    ],
)
async def test_an_answer_means_what_rfc_8030_says(status: int, meant: Verdict) -> None:
    async with serving() as service:
        assert (await sent(subscription(f"http://127.0.0.1:{service.port}/{status}"))).status == meant
        assert len(service.taken) == 1


async def test_what_a_user_calls_a_push_service_is_not_called_inside() -> None:
    async with serving() as service:
        for scheme in ("http", "https"):
            receipt = await sent(subscription(f"{scheme}://127.0.0.1:{service.port}/201"), inside=False)
            assert receipt.status == Verdict.REJECTED
        assert service.taken == []


async def test_a_token_of_another_kind_or_a_message_too_long_is_rejected() -> None:
    assert (await sent("token-1")).status == Verdict.REJECTED
    receipt = await sent(subscription("https://push.example/1"), body="N" * 10_000)
    assert (receipt.status, "at most 3,993" in receipt.detail) == (Verdict.REJECTED, True)
    off_the_curve = subscription("https://push.example/1", key="BA" + "A" * 85)
    assert (await sent(off_the_curve)).status == Verdict.REJECTED


async def test_a_message_says_itself_how_long_it_waits_and_what_it_replaces() -> None:
    async with serving() as service:
        more = {
            "ttl_s": "60",
            "collapse_key": "weekly",
            "image": "https://a.example/a.png",
            "link": "https://a.example/",
        }
        await sent(subscription(f"http://127.0.0.1:{service.port}/201"), **more, badge="2")
        [(_, headers, body)] = service.taken
    assert (headers["ttl"], headers["topic"]) == ("60", "weekly")
    said = json.loads(decrypted(body))
    assert (said["image"], said["link"], said["badge"]) == (more["image"], more["link"], 2)
