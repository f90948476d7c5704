"""A small real HTTP server that takes events, alone or in batches, remembers them in order, and misbehaves as it is told."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn

Trouble = Callable[[int], tuple[int, dict[str, str]] | str | None]


class RecordingGateway:
    """Use as a context manager; ``url`` is where it listens.

    ``trouble(n)`` says what happens to request n (from 0): None for success, (status, headers) for a refusal,
    ``"drop"`` to break the connection without storing, ``"lose_answer"`` to store and then break it, ``"hold"`` to
    store, set ``held`` and answer only after ``release``.
    ``verdict(event)`` gives (code, message) for an event to reject.
    """

    def __init__(self, *, write_key: str = "wk_test") -> None:
        self.write_key = write_key
        self.trouble: Trouble = lambda n: None
        self.verdict: Callable[[dict[str, Any]], tuple[str, str] | None] = lambda event: None
        self.batches: list[dict[str, Any]] = []
        self.events: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.encodings: list[str] = []
        self.n_requests = 0
        self.held = threading.Event()
        self.release = threading.Event()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self._server = uvicorn.Server(
            uvicorn.Config(
                self._app, log_config=None, lifespan="off", ws="none", interface="asgi3", timeout_graceful_shutdown=1
            )
        )
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._socket]}, daemon=True)

    def __enter__(self) -> RecordingGateway:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

    def unique(self) -> dict[str, dict[str, Any]]:
        """Events by messageId as a gateway that drops duplicates keeps them: the first of each, in order of arrival."""
        kept: dict[str, dict[str, Any]] = {}
        for event in self.events:
            kept.setdefault(event["messageId"], event)
        return kept

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body, more = body + message["body"], message.get("more_body", False)
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        n, self.n_requests = self.n_requests, self.n_requests + 1
        self.paths.append(scope["path"])
        wanted = "Basic " + base64.b64encode(f"{self.write_key}:".encode()).decode()
        if headers.get("authorization") != wanted:
            return await _answer(send, 401, {"code": "invalid_key"})
        trouble = self.trouble(n)
        if isinstance(trouble, tuple):
            return await _answer(send, trouble[0], {"code": "overloaded"}, trouble[1])
        if trouble == "drop":
            return await _break_off(send)
        self.encodings.append(headers.get("content-encoding", ""))
        if headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        if len(body) > 500_000:
            return await _answer(send, 413, {"code": "body_too_large"})
        batch = json.loads(body)
        batch = batch if "batch" in batch else {"batch": [batch]}  # a single call
        rejected = []
        for index, event in enumerate(batch["batch"]):
            verdict = self.verdict(event)
            if verdict is None:
                self.events.append(event)
            else:
                rejected.append(
                    {"index": index, "messageId": event["messageId"], "code": verdict[0], "message": verdict[1]}
                )
        self.batches.append(batch)
        if trouble == "lose_answer":
            return await _break_off(send)
        if trouble == "hold":
            self.held.set()
            await asyncio.to_thread(self.release.wait, 30)
        if rejected and len(rejected) == len(batch["batch"]):
            return await _answer(send, 400, {"code": "all_events_rejected", "rejected": rejected})
        extra = {"accepted": len(batch["batch"]) - len(rejected), "rejected": rejected} if rejected else {}
        return await _answer(send, 200, {"success": True, **extra})


async def _answer(send: Any, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
    raw = json.dumps(body).encode()
    fields = {"content-type": "application/json", "content-length": str(len(raw)), **(headers or {})}
    pairs = [(name.lower().encode(), value.encode()) for name, value in fields.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": raw})


async def _break_off(send: Any) -> None:
    """Promise more bytes than are sent: the server then has to close the connection in the middle of the answer."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
    await send({"type": "http.response.body", "body": b"{", "more_body": True})
