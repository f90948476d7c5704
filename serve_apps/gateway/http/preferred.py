"""Leaves out what a caller does not want to have back: `Prefer: return=minimal` (RFC 7240).

An ASGI application around the API and everything that makes answers: routes, the short way past FastAPI, and the
answers that were stored under an Idempotency-Key. It decides about calls that change something and answer with what
they changed:

    200         204 without content
    201, 202    the same without content, if Location says what was made

Whoever asks for a question's answer, a list of what became of each, a token, or anything that is shown once gets it
whatever they prefer. Of two around each other, the inner one decides.
"""

from __future__ import annotations

import re

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serve_apps.gateway.http.exchange import SHOWN_ONCE

HEADER, APPLIED = "Prefer", "Preference-Applied"
MINIMAL = "return=minimal"
_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_PATH = re.compile(r"/(?:v1|internal/tenants/[^/]+)/(.+)")
_WANTED = re.compile(r"auth/.*|decisions|templates/[^/]*/(?:preview|lint|score)|(.*/)?bulk")
"""Calls whose answer is what they are made for."""
_LEFT_OUT = (b"content-type", b"content-length")


def covers(method: str, path: str) -> bool:
    """Return whether a call changes something and answers with what it changed."""
    found = _PATH.fullmatch(path)
    return method.upper() in _METHODS and found is not None and _WANTED.fullmatch(found[1]) is None


def wants_minimal(headers: list[tuple[bytes, bytes]]) -> bool:
    """Return whether the first preference about what to return is `minimal`."""
    written = ",".join(value.decode("latin-1") for name, value in headers if name == b"prefer")
    for preference in written.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        if name.strip().lower() == "return":
            return value.strip().strip('"').lower() == "minimal"
    return False


class Preferred:
    """Honours the preference for small answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not covers(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        is_minimal = wants_minimal(scope["headers"])
        is_left_out = False

        async def send_preferred(message: Message) -> None:
            nonlocal is_left_out
            if message["type"] == "http.response.start":
                headers = message.get("headers", [])
                if not any(name.lower() == b"vary" and b"Prefer" in value for name, value in headers):
                    message["headers"] = headers = [*headers, (b"vary", b"Prefer")]
                is_left_out = is_minimal and _may_be_left_out(message["status"], headers)
                if is_left_out:
                    message["status"] = 204 if message["status"] == 200 else message["status"]
                    kept = [header for header in headers if header[0].lower() not in _LEFT_OUT]
                    empty = [] if message["status"] == 204 else [(b"content-length", b"0")]
                    message["headers"] = [*kept, *empty, (APPLIED.lower().encode(), MINIMAL.encode())]
            elif is_left_out and message["type"] == "http.response.body":
                message["body"] = b""
            await send(message)

        await self._app(scope, receive, send_preferred)


def _may_be_left_out(status: int, headers: list[tuple[bytes, bytes]]) -> bool:
    names = {name.lower() for name, _ in headers}
    if SHOWN_ONCE.lower().encode() in names or APPLIED.lower().encode() in names:
        return False
    return status == 200 or (status in (201, 202) and b"location" in names)
