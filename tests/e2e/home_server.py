"""The pages served by a small application over their real routes, with documents that a test can change while it runs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from serve_apps.gateway.http import problems
from serve_apps.gateway.http.paths import AsWritten
from serve_apps.gateway.pages import LiveView, routes
from serve_apps.gateway.pages.documents import (
    CampaignPage,
    CataloguesPage,
    ChannelsPage,
    CouponsPage,
    DeliveriesPage,
    SinkPage,
    TemplatePage,
    Tenants,
)
from serve_apps.gateway.routes.sink import MessageDocument
from serve_apps.gateway.services.audit import Audit
from serve_apps.gateway.services.inbox_message import InboxMessage
from serve_apps.gateway.services.policies import PolicyRecord
from serve_apps.gateway.services.preview import PreviewBody
from serve_apps.gateway.services.profile import UserProfile
from tests.unit.serve_apps.gateway.pages import loop_documents
from tests.unit.serve_apps.gateway.pages.documents import NOW, busy
from whisperer.errors import NotFoundError


class Documents:
    """A source of pages that holds what a test put into it. ``live`` None: nobody may look."""

    def __init__(self) -> None:
        self.live: LiveView | None = busy()
        self.names: Tenants = Tenants(["demo", "acme"], "demo")
        self.messages: SinkPage = loop_documents.sink()
        self.by_send_key: dict[str, MessageDocument] = {loop_documents.SEND_KEY: loop_documents.message()}
        self.users: dict[str, UserProfile] = {"ada": loop_documents.user()}
        self.decisions: dict[str, Audit] = {loop_documents.DECISION: loop_documents.decision()}
        self.campaigns: dict[str, CampaignPage] = {"Adopt a feature": loop_documents.campaign()}
        self.templates: dict[str, TemplatePage] = {"tips-email": loop_documents.template()}
        self.carrying: ChannelsPage = loop_documents.channels()
        self.delivered: DeliveriesPage = loop_documents.deliveries()
        self.learned: list[PolicyRecord] = [loop_documents.policy()]
        self.asked: list[tuple[Any, ...]] = []

    async def home(self) -> LiveView:
        assert self.live is not None
        return self.live

    async def tenants(self) -> Tenants:
        return self.names

    async def sink(
        self,
        tenant: str,
        channel: str | None,
        user_id: str | None,
        campaign: str | None,
        before: int | None,
        limit: int,
    ) -> SinkPage:
        self.asked.append((tenant, channel, user_id, campaign, before, limit))
        return self.messages

    async def message(self, tenant: str, send_key: str) -> MessageDocument:
        return self._found(tenant, self.by_send_key, send_key, "message")

    async def inbox(self, tenant: str, user_id: str) -> list[InboxMessage]:
        return [loop_documents.inbox_message()]

    async def user(self, tenant: str, user_id: str) -> UserProfile:
        return self._found(tenant, self.users, user_id, "user")

    async def decision(self, tenant: str, decision_id: str) -> Audit:
        return self._found(tenant, self.decisions, decision_id, "decision")

    async def campaign(self, tenant: str, name: str) -> CampaignPage:
        return self._found(tenant, self.campaigns, name, "campaign")

    async def template(self, tenant: str, name: str, shown_as: PreviewBody) -> TemplatePage:
        self.asked.append((tenant, shown_as.locale, shown_as.user_id))
        found: TemplatePage = self._found(tenant, self.templates, name, "template")
        return found

    async def channels(self, tenant: str) -> ChannelsPage:
        self.asked.append((tenant, "channels"))
        return self.carrying

    async def deliveries(
        self, tenant: str, status: str | None, channel: str | None, campaign: str | None, after: tuple[int, str] | None
    ) -> DeliveriesPage:
        self.asked.append((tenant, status, channel, campaign, after))
        return self.delivered

    async def catalogues(self, tenant: str, name: str, after: str | None) -> CataloguesPage:
        self.asked.append((tenant, name))
        return loop_documents.catalogues(name)

    async def coupons(self, tenant: str, name: str) -> CouponsPage:
        self.asked.append((tenant, name))
        return loop_documents.coupons(name)

    async def policies(self, tenant: str) -> list[PolicyRecord]:
        self.asked.append((tenant, "policies"))
        return self.learned

    def link_target(self, url: str) -> tuple[str, str] | None:
        return loop_documents.target_of(url)

    def _found(self, tenant: str, known: dict[str, Any], name: str, what: str) -> Any:
        self.asked.append((tenant, what, name))
        if tenant != "demo" or name not in known:
            raise NotFoundError(f"there is no {what} {name!r}")
        return known[name]


def application(documents: Documents) -> FastAPI:
    app = FastAPI(redirect_slashes=False)
    problems.install(app)
    app.add_middleware(AsWritten)
    routes.install(app, documents, lambda request: documents.live is not None, lambda: NOW)
    return app


class HomeServer(Documents):
    """Serves itself on a loopback port; after :meth:`stop`, :meth:`start` takes the same port again."""

    def __init__(self) -> None:
        super().__init__()
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

    def _app(self) -> FastAPI:
        app = application(self)

        @app.middleware("http")
        async def polls(request: Request, call_next: Any) -> Response:
            if request.url.path == "/internal/live":
                self.n_polls += 1
                if self.status != 200:
                    return Response(status_code=self.status)
            answer: Response = await call_next(request)
            return answer

        @app.post("/{path:path}")
        async def ingest(path: str, request: Request) -> Response:
            self.received.append((f"/{path}", request.headers.get("authorization", ""), await request.body()))
            return JSONResponse({"success": True})

        return app


@contextmanager
def home_server() -> Iterator[HomeServer]:
    server = HomeServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()
