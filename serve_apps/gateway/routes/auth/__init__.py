"""Where people and services get tokens, and look after their own account; the same for every tenant.

No permission is needed here: each call is about its caller alone.
"""

from fastapi import FastAPI

from serve_apps.gateway.routes.auth import account, token
from serve_apps.gateway.services.parts import Parts


def install(app: FastAPI, parts: Parts) -> None:
    """Add the routes."""
    app.include_router(token.router(parts))
    app.include_router(account.router(parts))
