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
from serve_apps.delivery.provider import Provider
from serve_apps.delivery.sink import Sink, SinkProvider
from serve_apps.delivery.smtp import Smtp
from serve_apps.delivery.ssrf import Guard

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

    def __init__(self, folder: Path, behaviour: Behaviour) -> None:
        self.folder, self.behaviour = folder, behaviour
        hangs = behaviour in (Behaviour.HANGS_BEFORE, Behaviour.HANGS_AFTER)
        self.patience_s = 0.05 if hangs else 30.0
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


class WebhookPeer(Peer):
    def adapter(self, config: dict[str, Any]) -> Provider:
        made = webhook.Webhook(
            config | {"url": "http://hooks.test/in"}, lambda: NOW, Guard("webhook"), timeout_s=self.patience_s
        )
        made._client._transport._pool._network_backend = _Backend(self)  # type: ignore[attr-defined]
        return made

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
            if self.behaviour is Behaviour.HANGS_AFTER:
                await asyncio.Event().wait()
            if self.behaviour is Behaviour.BREAKS_AFTER:
                return
            status = {Behaviour.REFUSES: 410, Behaviour.BUSY: 503}.get(self.behaviour, 200)
            body = self.leaked.encode()
            writer.write(b"HTTP/1.1 %d %s\r\nserver: %s\r\n" % (status, body, body))
            writer.write(b"content-length: %d\r\n\r\n%s" % (len(body), body))


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


PEERS: dict[str, type[Peer]] = {"sink": SinkPeer, "smtp": SmtpPeer, "webhook": WebhookPeer}
