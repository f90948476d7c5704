"""The home page served by a small application, with numbers that a test can change while it runs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from serve_apps.gateway.pages import PAGE_HEADERS, LiveView, render_home, static_file
from tests.unit.pages.documents import busy


class HomeServer:
    """Serves ``live`` on a loopback port; after :meth:`stop`, :meth:`start` takes the same port again."""

    def __init__(self) -> None:
        self.live: LiveView | None = busy()
        self.status = 200
        self.n_polls = 0
        self.received: list[tuple[str, str, bytes]] = []  # path, authorization, body of what the snippets sent
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        config = uvicorn.Config(self._app(), ws="none", lifespan="off", log_level="error", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listener]}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.should_exit = self._server.force_exit = True  # open connections are cut, as in a crash
        self._thread.join(10)

    def _app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/", self._home),
                Route("/internal/live", self._live),
                Route("/static/{name}", self._static),
                Route("/{path:path}", self._ingest, methods=["POST"]),
            ]
        )

    async def _home(self, request: Request) -> Response:
        return HTMLResponse(render_home(self.live, base_url=self.url), headers=dict(PAGE_HEADERS))

    async def _live(self, request: Request) -> Response:
        self.n_polls += 1
        return JSONResponse(self.live, status_code=self.status)

    async def _static(self, request: Request) -> Response:
        found = static_file(request.path_params["name"])
        if found is None:
            return Response(status_code=404)
        content, media_type, etag = found
        return Response(content, media_type=media_type, headers={"ETag": etag})

    async def _ingest(self, request: Request) -> Response:
        self.received.append((request.url.path, request.headers.get("authorization", ""), await request.body()))
        return JSONResponse({"success": True})


@contextmanager
def home_server() -> Iterator[HomeServer]:
    server = HomeServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
