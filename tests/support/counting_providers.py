"""The other side of every provider that is reached over a network, on loopback: each counts what it took, by recipient.

They are there to be killed beside: what came whole can be held before it is taken, and after, before it is answered.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any
from urllib.parse import unquote

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from serve_apps.delivery.web_push_encryption import base64url
from tests.support.campaigning import person
from tests.support.faulty_receivers import by_mail, by_webhook
from tests.support.provider_server import SETTINGS, Call, ProviderServer, Says
from tests.support.stand import free_port
from tests.unit.whisperer.delivery.browser import subscription


@dataclass
class Counted:
    """What one provider took. Everything is touched by its own thread, but for ``hold``."""

    n_copies: Counter[str] = field(default_factory=Counter)
    taken_at: dict[str, float] = field(default_factory=dict)
    """Seconds since 1970, of the first copy, by recipient."""
    n_arrived: int = 0
    n_answered: int = 0
    hold: str = ""
    """"before": what came is not taken until this changes, and never if whoever sent it is gone; "after": taken, and not
    answered until then."""

    async def take(self, recipient: str, is_gone: Callable[[], bool]) -> bool:
        """Take a message; False if its sender went away first."""
        self.n_arrived += 1
        await self._held("before")
        if is_gone():
            return False
        self.n_copies[recipient] += 1
        self.taken_at.setdefault(recipient, time.time())
        await self._held("after")
        self.n_answered += 1
        return True

    async def _held(self, where: str) -> None:
        while self.hold == where:  # noqa: ASYNC110  it is set by another thread
            await asyncio.sleep(0.01)


@dataclass(frozen=True)
class Kind:
    """A provider: its channel, whom a request is for, and how it says yes."""

    channel: str
    recipient: Callable[[Call], str]
    yes: Says


_SNS = "<PublishResponse><PublishResult><MessageId>0-1-2</MessageId></PublishResult></PublishResponse>"
HTTP: dict[str, Kind] = {
    "sendgrid": Kind(
        "email",
        lambda call: call.json()["personalizations"][0]["to"][0]["email"],
        Says(202, "", {"x-message-id": "x1"}),
    ),
    "ses": Kind("email", lambda call: call.json()["Destination"]["ToAddresses"][0], Says(200, '{"MessageId": "0-1"}')),
    "twilio": Kind("sms", lambda call: call.form()["To"], Says(201, '{"sid": "SM' + "a" * 32 + '"}')),
    "sns": Kind("sms", lambda call: call.form()["PhoneNumber"], Says(200, _SNS)),
    "fcm": Kind("push", lambda call: call.json()["message"]["token"], Says(200, '{"name": "projects/p1/messages/1"}')),
    "webpush": Kind("push", lambda call: unquote(call.target.rpartition("/")[2]), Says(201)),
    "webhook": Kind("webhook", lambda call: call.headers["webhook-id"], Says(204)),
}
CHANNELS = {name: kind.channel for name, kind in HTTP.items()} | {"smtp": "email", "sink": "email", "inbox": "inapp"}
TAKES_KEYS = ("webhook", "sink", "inbox")
_TOKEN = Says(200, '{"access_token": "ya29.1", "expires_in": 3600, "token_type": "Bearer"}')


class _HttpProvider(ProviderServer):
    """Takes web push's bodies as well, which are no JSON. What Twilio took it lists by its recipient."""

    def __init__(self, kind: Kind, counted: Counted) -> None:
        super().__init__(lambda _: kind.yes)
        self._kind = kind
        self._counted = counted
        self._listed: list[dict[str, str]] = []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {n.lower(): v for n, v in (line.split(": ", 1) for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                method, target, _ = head[0].split(" ")
                call = Call(target, headers, body, method)
                said = _TOKEN
                if method == "GET":
                    said = self._list(call.query()["To"])
                elif call.target != "/token":
                    said = self._kind.yes
                    if not await self._counted.take(self._kind.recipient(call), reader.at_eof):
                        return
                    self._keep(call)
                lines = [f"HTTP/1.1 {said.status} X", *(f"{name}: {value}" for name, value in said.headers.items())]
                writer.write("\r\n".join([*lines, f"content-length: {len(said.body)}", "", said.body]).encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            """Whoever called has gone."""
        finally:
            writer.close()

    def _keep(self, call: Call) -> None:
        if self._kind is HTTP["twilio"]:
            form, number = call.form(), len(self._listed)
            message = {"sid": f"SM{number:032x}", "to": form["To"], "body": form["Body"], "direction": "outbound-api"}
            self._listed.append(message | {"date_created": formatdate()})

    def _list(self, recipient: str) -> Says:
        found = [message for message in self._listed if message["to"] == recipient]
        return Says(200, json.dumps({"messages": found, "next_page_uri": None}))


class _Mail:
    def __init__(self, counted: Counted) -> None:
        self._counted = counted

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        transport = server.transport
        assert transport is not None
        if not await self._counted.take(envelope.rcpt_tos[0], transport.is_closing):
            return "451 4.3.0 nobody is there"
        return "250 2.0.0 queued as 1"


@contextmanager
def mail(counted: Counted) -> Iterator[int]:
    """The port of a mail server."""
    controller = Controller(_Mail(counted), hostname="127.0.0.1", port=free_port(), timeout=3_600)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


@contextmanager
def http(name: str, counted: Counted) -> Iterator[int]:
    """The port of an HTTP provider, with a thread of its own."""
    loop = asyncio.new_event_loop()
    server = _HttpProvider(HTTP[name], counted)
    listening = loop.run_until_complete(asyncio.start_server(server.talk, "127.0.0.1", 0))
    port: int = listening.sockets[0].getsockname()[1]
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        listening.close()
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.close()


def channel_of(name: str, port: int) -> dict[str, Any]:
    """The body of `PUT /v1/channels/{channel}` that leads there."""
    url = f"http://127.0.0.1:{port}"
    match name:
        case "smtp":
            return by_mail(port)
        case "webhook":
            return by_webhook(port)
        case "sink" | "inbox":
            return {"provider": name, "config": {}}
        case "webpush":
            key = base64url(secrets.token_bytes(32))
            return {"provider": name, "config": {"vapid_private_key": key, "subject": "mailto:ops@acme.example"}}
    at = {"base_url": url} | ({"token_url": url + "/token"} if name == "fcm" else {})
    return {"provider": name, "config": SETTINGS[name]() | at}


def someone(name: str, port: int, number: int) -> dict[str, Any]:
    """An identify event of user number ``number`` of a provider, whom it reaches."""
    more = {"push_token": subscription(f"http://127.0.0.1:{port}/p/p-{number}")} if name == "webpush" else {}
    return person(f"p-{number}", number, **more)
