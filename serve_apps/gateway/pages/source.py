"""Defines where the pages get their documents: one protocol, implemented by the gateway and by the tests."""

from __future__ import annotations

from typing import Protocol

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
from serve_apps.gateway.pages.live_view import LiveView
from serve_apps.gateway.routes.sink import MessageDocument
from serve_apps.gateway.services.audit import Audit
from serve_apps.gateway.services.inbox_message import InboxMessage
from serve_apps.gateway.services.policies import PolicyRecord
from serve_apps.gateway.services.preview import PreviewBody
from serve_apps.gateway.services.profile import UserProfile


class PageSource(Protocol):
    """Supplies the pages' documents.

    ``tenant`` is a name. What does not exist, or belongs to another tenant, raises NotFoundError.
    """

    async def home(self) -> LiveView: ...

    async def tenants(self) -> Tenants: ...

    async def sink(
        self,
        tenant: str,
        channel: str | None,
        user_id: str | None,
        campaign: str | None,
        before: int | None,
        limit: int,
    ) -> SinkPage:
        """Return messages, newest first; with ``before``, those with a smaller serial."""
        ...

    async def message(self, tenant: str, send_key: str) -> MessageDocument: ...

    async def user(self, tenant: str, user_id: str) -> UserProfile: ...

    async def inbox(self, tenant: str, user_id: str) -> list[InboxMessage]: ...

    async def decision(self, tenant: str, decision_id: str) -> Audit: ...

    async def campaign(self, tenant: str, name: str) -> CampaignPage: ...

    async def template(self, tenant: str, name: str, shown_as: PreviewBody) -> TemplatePage:
        """Return a template as a user would get it, or as anybody without traits."""
        ...

    async def channels(self, tenant: str) -> ChannelsPage: ...

    async def deliveries(
        self, tenant: str, status: str | None, channel: str | None, campaign: str | None, after: tuple[int, str] | None
    ) -> DeliveriesPage:
        """Return deliveries, latest attempt first; with ``after``, those behind that (ms UTC, send key)."""
        ...

    async def catalogues(self, tenant: str, name: str, after: str | None) -> CataloguesPage:
        """Return all catalogues, or one by name with its items behind ``after``."""
        ...

    async def coupons(self, tenant: str, name: str) -> CouponsPage:
        """Return all coupon pools, or one by name with the codes that were given lately."""
        ...

    async def policies(self, tenant: str) -> list[PolicyRecord]: ...

    def link_target(self, url: str) -> tuple[str, str] | None:
        """Return the purpose (open, click, unsubscribe) and destination of a link of ours in a message; None if not
        ours."""
        ...
