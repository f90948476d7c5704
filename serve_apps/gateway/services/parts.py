"""Holds everything the routes use, made once per replica by :mod:`serve_apps.gateway.app`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actors.calls.shards import Shards
from cluster.control_plane import ControlPlane
from cluster.launch.installation import Installation
from serve_apps.delivery.sink import Sink
from serve_apps.gateway.http.access import Access
from serve_apps.gateway.metrics.status import Overview
from serve_apps.gateway.services.campaigns import Campaigns
from serve_apps.gateway.services.decisions import Decisions
from serve_apps.gateway.services.explanations import Explanations
from serve_apps.gateway.services.lift_days import LiftDays
from serve_apps.gateway.services.policies import Policies
from serve_apps.gateway.services.segments import Publishing
from serve_apps.gateway.services.simulations import Simulations
from serve_apps.gateway.services.users import Users


@dataclass(slots=True)
class Parts:
    installation: Installation
    plane: ControlPlane
    access: Access
    shards: Shards
    overview: Overview
    users: Users
    publishing: Publishing
    campaigns: Campaigns
    decisions: Decisions
    explanations: Explanations
    sink: Sink
    policies: Policies
    simulations: Simulations
    lift_days: LiftDays
    unready: Callable[[], list[str]] = list
    """Returns why events are turned away now."""
