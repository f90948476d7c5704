"""One gateway application a process for all the worlds that tests make: building its routes takes a second.

Whatever the routes took from their parts when they were built, they take from the world that a request is made of. Only
what is the same in all worlds, the installation, is the first one's.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache
from typing import Any, cast

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from serve_apps.gateway.api import build
from serve_apps.gateway.services.parts import Parts

_of: ContextVar[Parts] = ContextVar("parts")
_FIRST: list[Parts] = []


class _Late:
    """Stands for what ``get`` gives: while routes are built for what it will give, in a request for what it gives."""

    def __init__(self, *path: str) -> None:
        self._path = path

    def _found(self) -> Any:
        found: Any = _of.get()
        for name in self._path:
            found = getattr(found, name)
        return found

    def __getattr__(self, name: str) -> Any:
        if _of.get(None) is not None:
            return getattr(self._found(), name)
        if not self._path and name == "installation":
            return _FIRST[0].installation
        return _Late(*self._path, name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._found()(*arguments, **named)


class SharedApp:
    """The application as one world's. Not a FastAPI, but all that is asked of one: it answers, and shows its parts."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        if not _FIRST:
            _FIRST.append(parts)
        self._app = _built()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = _of.set(self._parts)
        try:
            await self._app(scope, receive, send)
        finally:
            _of.reset(token)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)


@cache
def _built() -> FastAPI:
    app = build(cast(Parts, _Late()))
    app.middleware_stack = app.build_middleware_stack()
    return app
