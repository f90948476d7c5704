"""A strict API server on loopback, for what sends to a provider: it takes only what is right in form, keeps it, and
answers as it is told.

What it refuses by itself (400): another method than POST, or GET without a body, a header twice or not in ASCII, a
body that is not as long as it says, JSON or a form that is not exactly that.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import parse_qsl

from cluster.settings import networks
from serve_apps.delivery.adapters import maker
from serve_apps.delivery.provider import Provider
from tests.unit.whisperer.delivery.service_account import service_account
from whisperer.delivery.channels import parse_channel
from whisperer.delivery.providers import PROVIDERS

NOW = 1_700_000_000_000
HERE = networks("127.0.0.0/8")
_KEY = {"region": "eu-central-1", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "s3cr3t/Key+of=nobody"}
SETTINGS: dict[str, Callable[[], dict[str, Any]]] = {
    "sendgrid": lambda: {"api_key": "SG.test", "sender": "Sören <s@x.co>"},
    "ses": lambda: _KEY | {"sender": "Sören <s@x.co>", "configuration_set": "whisperer"},
    "twilio": lambda: {"account_sid": "AC" + "a" * 32, "auth_token": "tok", "sender": "+15005550001"},
    "sns": lambda: _KEY | {"sender_id": "Example", "sms_type": "Transactional"},
    "fcm": lambda: {"credentials": service_account()},
}
"""Provider -> the settings of an account that does not exist."""


class Fate(StrEnum):
    """What becomes of a request instead of an answer."""

    HANGS = "hangs"
    DROPS = "drops"


@dataclass(frozen=True)
class Says:
    status: int = 200
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """One request that was right in form."""

    target: str
    headers: dict[str, str]
    body: bytes
    method: str = "POST"

    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], strict_parsing=True, errors="strict"))

    @property
    def is_form(self) -> bool:
        return self.headers["content-type"].startswith("application/x-www-form-urlencoded")

    def form(self) -> dict[str, str]:
        pairs = parse_qsl(self.body.decode("ascii"), True, True, errors="strict")
        found = dict(pairs)
        assert len(found) == len(pairs), "a field comes twice"
        return found

    def json(self) -> Any:
        return json.loads(self.body.decode("utf-8"))


@dataclass
class ProviderServer:
    """``answer`` says what each call gets."""

    answer: Callable[[Call], Says | Fate]
    calls: list[Call] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                said = await self._one(reader)
                if said is Fate.HANGS:
                    await reader.read()
                if isinstance(said, Fate):
                    return
                body = said.body.encode()
                lines = [f"HTTP/1.1 {said.status} X", *(f"{name}: {value}" for name, value in said.headers.items())]
                head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""])
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            """Whoever called has gone."""
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader) -> Says | Fate:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        pairs = [line.split(": ", 1) for line in head[1:] if line]
        headers = {name.lower(): value for name, value in pairs}
        method, target, _ = head[0].split(" ")
        body = await reader.readexactly(int(headers["content-length"])) if method == "POST" else b""
        call = Call(target, headers, body, method)
        try:
            assert method in ("POST", "GET")
            assert method == "POST" or not {"content-length", "content-type"} & set(headers)
            assert len(pairs) == len(headers)
            assert all(line.isascii() for line in head)
            assert "transfer-encoding" not in headers
            if method == "POST":
                call.form() if call.is_form else call.json()
        except (AssertionError, ValueError) as error:
            return Says(400, f"malformed: {error!r}")
        self.calls.append(call)
        return self.answer(call)


@asynccontextmanager
async def serving(answer: Callable[[Call], Says | Fate]) -> AsyncIterator[ProviderServer]:
    server = ProviderServer(answer)
    listening = await asyncio.start_server(server.talk, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()


@asynccontextmanager
async def connected(
    name: str, url: str, *, now: Callable[[], int] = lambda: NOW, open_networks: Any = HERE, **more: Any
) -> AsyncIterator[Provider]:
    """A channel's adapter, as the application makes it from a configuration, calling the API at ``url``."""
    spec = PROVIDERS[name]
    at = {"base_url": url} | ({"token_url": url + "/token"} if name == "fcm" else {})
    config = parse_channel(spec.channels[0], name, SETTINGS[name]() | at | more)
    adapter = maker(now, open_networks)(name, config)
    try:
        yield adapter
    finally:
        await adapter.aclose()
