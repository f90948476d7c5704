"""Finds which methods a path answers, by asking the routes themselves."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.routing import Match

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def answers(app: FastAPI, scope: dict[str, Any], method: str) -> bool:
    """Return whether a route has the scope's path and this method."""
    bare: dict[str, Any] = {name: scope[name] for name in ("type", "path", "headers", "app") if name in scope}
    return any(route.matches({**bare, "method": method})[0] is Match.FULL for route in app.router.routes)


def allowed(app: FastAPI, scope: dict[str, Any]) -> list[str]:
    """Return all methods that a path answers: the router itself stops at the first route with the path."""
    return [method for method in METHODS if answers(app, scope, method)]
