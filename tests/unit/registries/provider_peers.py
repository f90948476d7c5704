"""The other side of each provider's connection, which behaves as it is told: in this process, without a network.

A new provider needs a class here that plays all of :class:`Behaviour`.
"""

from __future__ import annotations

import asyncio
import socket
from abc import ABC, abstractmethod
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar, cast

import httpcore

from serve_apps.delivery import webhook
from serve_apps.delivery.adapters import ADAPTERS
from serve_apps.delivery.inbox import Inbox
from serve_apps.delivery.provider import Provider
from serve_apps.delivery.sink import Sink, SinkProvider
from serve_apps.delivery.smtp import Smtp
from serve_apps.delivery.ssrf import Guard
from tests.unit.whisperer.delivery.browser import subscription

NOW = 1_700_000_000_000


class Behaviour(StrEnum):
    """What may become of an attempt, before and after the provider has the whole message."""

    ACCEPTS = "accepts"
    REFUSES = "refuses"
    BUSY = "busy"
    HANGS_BEFORE = "hangs_before"
    BREAKS_BEFORE = "breaks_before"
    HANGS_AFTER = "hangs_after"
    BREAKS_AFTER = "breaks_after"


class Peer(ABC):
    """Plays one provider. ``leaked`` is what it wrote about itself: an answer's words, which nobody may see."""

    leaked = "internal-host-17"

    plays: ClassVar[tuple[Behaviour, ...]] = tuple(Behaviour)
    addresses: ClassVar[dict[Behaviour, str]] = {}
    """Recipients that make it behave so; any other address otherwise."""
    parts: ClassVar[dict[Behaviour, dict[str, str]]] = {}
    """Messages that make it behave so."""

    def __init__(self, folder: Path, behaviour: Behaviour) -> None:
        self.folder, self.behaviour = folder, behaviour
        # A busy machine has to hand over all of a message in the time after which it gives up on the answer.
        self.patience_s = {Behaviour.HANGS_BEFORE: 0.05, Behaviour.HANGS_AFTER: 0.5}.get(behaviour, 30.0)
        """How long the adapter is to wait for it."""
        self.tasks: list[asyncio.Task[None]] = []

    @abstractmethod
    def adapter(self, config: dict[str, Any]) -> Provider:
        """Return the adapter under test, connected to this peer."""

    def connected(self) -> socket.socket:
        """Return our end of a new connection; the other end talks."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self.tasks.append(asyncio.ensure_future(self._open(theirs)))
        return ours

    async def aclose(self) -> None:
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def _open(self, theirs: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(sock=theirs)
        try:
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


class SinkPeer(Peer):
    """The sink can neither hang nor break after it has a message."""

    plays = (Behaviour.ACCEPTS, Behaviour.REFUSES, Behaviour.BUSY)

    def adapter(self, config: dict[str, Any]) -> Provider:
        return SinkProvider(Sink(self.folder / "sink.db"), lambda: NOW)

    addresses: ClassVar = {Behaviour.REFUSES: "reject+ada@example.com", Behaviour.BUSY: "defer+ada@example.com"}


class InboxPeer(Peer):
    """The inbox calls nobody: it takes what fits, and refuses what does not."""

    plays = (Behaviour.ACCEPTS, Behaviour.REFUSES)
    parts: ClassVar = {Behaviour.REFUSES: {"message": '{"kind": "internal-host-17"}'}}

    def adapter(self, config: dict[str, Any]) -> Provider:
        return Inbox(config, lambda: NOW, Guard("inbox"))


class SmtpPeer(Peer):
    def adapter(self, config: dict[str, Any]) -> Provider:
        peer = self

        class Here:
            async def connect(self, host: str, port: int) -> socket.socket:
                return peer.connected()

        soon = {"tls": "none", "username": "", "timeout_s": self.patience_s, "answer_timeout_s": self.patience_s}
        return Smtp(config | soon, lambda: NOW, cast(Guard, Here()))

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"220 mail.test {self.leaked} ready\r\n".encode())
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"MAIL" and self.behaviour is Behaviour.HANGS_BEFORE:
                await asyncio.Event().wait()
            if verb == b"MAIL" and self.behaviour is Behaviour.BREAKS_BEFORE:
                return
            if verb == b"RCPT" and self.behaviour is Behaviour.REFUSES:
                writer.write(f"550 5.7.1 no, says {self.leaked}\r\n".encode())
            elif verb == b"RCPT" and self.behaviour is Behaviour.BUSY:
                writer.write(f"451 4.3.0 later, says {self.leaked}\r\n".encode())
            elif verb == b"DATA":
                writer.write(b"354 go on\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                if self.behaviour is Behaviour.HANGS_AFTER:
                    await asyncio.Event().wait()
                if self.behaviour is Behaviour.BREAKS_AFTER:
                    return
                writer.write(f"250 2.0.0 {self.leaked} queued as 17\r\n".encode())
            else:
                writer.write(b"250 mail.test\r\n")


class HttpPeer(Peer):
    """Plays a provider over HTTP; a kind says how it is connected, and what it answers when it refuses."""

    accepted: ClassVar[int] = 200
    refused: ClassVar[int] = 400
    refusal: ClassVar[str] = ""

    @abstractmethod
    def made(self, config: dict[str, Any]) -> Any:
        """Return the adapter, which is to wait for `patience_s`."""

    def adapter(self, config: dict[str, Any]) -> Provider:
        made = self.made(config)
        for pool in made._exchange._client._transport._pools.values():
            pool._network_backend = _Backend(self)
        return cast(Provider, made)

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
            if is_token := head.startswith(b"post /token "):
                status, said = 200, '{"access_token": "ya29.x", "expires_in": 3600}'
            elif self.behaviour is Behaviour.REFUSES:
                status, said = self.refused, self.refusal + self.leaked
            else:
                status, said = 503 if self.behaviour is Behaviour.BUSY else self.accepted, self.leaked
            if self.behaviour is Behaviour.HANGS_AFTER and not is_token:
                await asyncio.Event().wait()
            if self.behaviour is Behaviour.BREAKS_AFTER and not is_token:
                return
            body, leaked = said.encode(), self.leaked.encode()
            writer.write(b"HTTP/1.1 %d %s\r\nserver: %s\r\n" % (status, leaked, leaked))
            writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))


class WebhookPeer(HttpPeer):
    refused = 410

    def made(self, config: dict[str, Any]) -> Any:
        at = {"url": "http://hooks.test/in"}
        return webhook.Webhook(config | at, lambda: NOW, Guard("webhook"), timeout_s=self.patience_s)


class ApiPeer(HttpPeer):
    """Plays a provider whose address and patience are in its configuration."""

    name: ClassVar[str]
    paths: ClassVar[dict[str, str]] = {"base_url": "", "token_url": "/token"}

    def made(self, config: dict[str, Any]) -> Any:
        at = {name: f"http://api.test{path}" for name, path in self.paths.items() if name in config}
        return ADAPTERS[self.name](config | at | {"timeout_s": self.patience_s}, lambda: NOW, Guard(self.name))


class SendGridPeer(ApiPeer):
    name, accepted = "sendgrid", 202


class SesPeer(ApiPeer):
    name = "ses"


class TwilioPeer(ApiPeer):
    name, accepted = "twilio", 201


class SnsPeer(ApiPeer):
    name, refusal = "sns", "<Error><Code>OptedOut</Code></Error>"


class FcmPeer(ApiPeer):
    name = "fcm"


class _Backend(httpcore.AsyncNetworkBackend):
    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def connect_tcp(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        if self._peer.behaviour is Behaviour.HANGS_BEFORE:
            await asyncio.Event().wait()
        if self._peer.behaviour is Behaviour.BREAKS_BEFORE:
            raise httpcore.ConnectError("nobody is there")
        return _Stream(*await asyncio.open_connection(sock=self._peer.connected()))

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Stream(httpcore.AsyncNetworkStream):
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        return await self._reader.read(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._writer.write(buffer)
        await self._writer.drain()

    async def aclose(self) -> None:
        self._writer.close()

    def get_extra_info(self, info: str) -> Any:
        return None


class WebPushPeer(ApiPeer):
    """Its address is in the subscription."""

    name, accepted, refused = "webpush", 201, 410
    addresses: ClassVar = dict.fromkeys(Behaviour, subscription("http://push.test/p/1"))


PEERS: dict[str, type[Peer]] = {
    "sink": SinkPeer,
    "smtp": SmtpPeer,
    "sendgrid": SendGridPeer,
    "ses": SesPeer,
    "twilio": TwilioPeer,
    "sns": SnsPeer,
    "fcm": FcmPeer,
    "webpush": WebPushPeer,
    "webhook": WebhookPeer,
    "inbox": InboxPeer,
}
