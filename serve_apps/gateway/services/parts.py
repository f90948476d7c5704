"""Holds everything the routes use, made once per replica by :mod:`serve_apps.gateway.app`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from actors.calls.directory import DirectoryCalls
from actors.calls.shards import ShardCalls
from cluster.control_plane import ControlPlane
from cluster.launch.installation import Installation
from serve_apps.delivery.sink import Sink
from serve_apps.gateway.http.access import Access
from serve_apps.gateway.metrics.status import Overview
from serve_apps.gateway.services.analytics import Analytics
from serve_apps.gateway.services.callbacks import Callbacks
from serve_apps.gateway.services.campaigns import CampaignService
from serve_apps.gateway.services.decisions import DecisionQueries
from serve_apps.gateway.services.deliveries import DeliveryQueries
from serve_apps.gateway.services.dispatching import Dispatching
from serve_apps.gateway.services.explanations import Explanations
from serve_apps.gateway.services.exports import Exports
from serve_apps.gateway.services.inbox import Inboxes
from serve_apps.gateway.services.lift_days import LiftDays
from serve_apps.gateway.services.login import Login
from serve_apps.gateway.services.policies import Policies
from serve_apps.gateway.services.provider_states import ProviderStates
from serve_apps.gateway.services.quality import QualityReports
from serve_apps.gateway.services.saved_reports import SavedReportService
from serve_apps.gateway.services.segments import Publishing
from serve_apps.gateway.services.signing_in import SigningIn
from serve_apps.gateway.services.simulations import Simulations
from serve_apps.gateway.services.user_list import UserList
from serve_apps.gateway.services.user_tokens import UserTokens
from serve_apps.gateway.services.users import Users
from serve_apps.generation.asking import Asking
from serve_apps.generation.generators import Generators
from serve_apps.supplies.stock import Stock


@dataclass(slots=True)
class Parts:
    installation: Installation
    plane: ControlPlane
    access: Access
    shards: ShardCalls
    directory: DirectoryCalls
    overview: Overview
    users: Users
    publishing: Publishing
    campaigns: CampaignService
    decisions: DecisionQueries
    deliveries: DeliveryQueries
    explanations: Explanations
    sink: Sink
    policies: Policies
    simulations: Simulations
    lift_days: LiftDays
    signing_in: SigningIn
    login: Login
    user_list: UserList
    user_tokens: UserTokens
    inboxes: Inboxes
    saved_reports: SavedReportService
    exports: Exports
    callbacks: Callbacks
    dispatching: Dispatching
    stock: Stock
    generators: Generators
    asking: Asking
    quality: QualityReports
    analytics: Analytics
    unready: Callable[[], list[str]] = list
    """Returns why events are turned away now."""
    uploading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    compiling: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    """One at a time: compiling a large template takes seconds, and the same threads look up keys."""

    @property
    def provider_states(self) -> ProviderStates:
        """How providers' accounts do."""
        return ProviderStates(self.directory)

    @property
    def public_url(self) -> str:
        """The address under which people reach this installation, without a slash at its end."""
        settings = self.installation.settings
        return (settings.server.public_url if settings is not None else "").rstrip("/") or self.installation.url
