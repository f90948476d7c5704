"""A gateway of a few lines, for tests of the launcher: it answers `/readyz` and says which installation it is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Header, HTTPException
from ray import serve


def build_app() -> FastAPI:
    app = FastAPI()

    @app.get("/readyz")
    def readyz() -> dict[str, bool]:
        return {"ready": True}

    @app.get("/whoami")
    def whoami() -> dict[str, Any]:
        return {"installation": os.environ["WHISPERER_INSTALLATION"], "pid": os.getpid()}

    @app.get("/internal/status")
    def status(authorization: str = Header("")) -> dict[str, Any]:
        record = json.loads(Path(os.environ["TINY_RECORD"]).read_text())
        if authorization != f"Bearer {record['operator_token']}":
            raise HTTPException(401)
        return {
            "tenants": {"acme": {"users": 1, "events_rejected": {}}},
            "shards": [{"pid": os.getpid(), "state": "serving"}],
        }

    return app


@serve.deployment(name="Gateway")
@serve.ingress(build_app)
class TinyGateway:
    def __init__(self, installation: str) -> None:
        os.environ["TINY_RECORD"] = installation


def build(args: dict[str, Any]) -> serve.Application:
    return TinyGateway.bind(args["installation"])
