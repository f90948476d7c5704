"""Routes the path of a request as it was written: what a client encoded inside a segment stays inside that segment.

A server decodes a path before anything is routed: `/v1/users/acme%2Fexport`, the user `acme/export`, becomes the export
of the user `acme`. An ASGI application around the router rebuilds the path from the bytes that were sent: each segment
is decoded, with `/` and `%` in it written as `%2F` and `%25`. A route that takes any id declares it as `{user_id:id}`
(:class:`IdConvertor`), which undoes that; names that contain neither sign need nothing. One segment is exactly one id:
`.`, `..` and what looks like an operation are ids like others. A path that is not UTF-8 names nothing (404), nor does
one with a `%` that no two hexadecimal digits follow: what it means would depend on who decodes it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes

from starlette.convertors import Convertor, register_url_convertor

Application = Callable[[MutableMapping[str, Any], Any, Any], Awaitable[None]]

_STRAY = re.compile(rb"%(?![0-9A-Fa-f]{2})")
NOWHERE = "/%"
"""A path that no segments can produce, and that no route has."""


class IdConvertor(Convertor[str]):
    """Converts an id in a path, undoing the encoding of :func:`routed`."""

    regex = "[^/]+"

    def convert(self, value: str) -> str:
        return unquote(value)

    def to_string(self, value: str) -> str:
        return quote(value, safe="")


register_url_convertor("id", IdConvertor())


def routed(raw_path: bytes) -> str:
    """Return the path for the router, from the bytes of the request line."""
    if _STRAY.search(raw_path):
        return NOWHERE
    try:
        return "/".join(
            unquote_to_bytes(segment).decode().replace("%", "%25").replace("/", "%2F")
            for segment in raw_path.split(b"/")
        )
    except UnicodeDecodeError:
        return NOWHERE


class AsWritten:
    def __init__(self, app: Application) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Any, send: Any) -> None:
        raw_path = scope.get("raw_path")
        if scope["type"] == "http" and raw_path is not None:
            scope["path"] = routed(raw_path)
        await self._app(scope, receive, send)
