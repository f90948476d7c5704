"""Holds everything the routes use, made once per replica by :mod:`serve_apps.gateway.app`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actors.calls.directory import DirectoryCalls
from actors.calls.shards import ShardCalls
from cluster.control_plane import ControlPlane
from cluster.launch.installation import Installation
from serve_apps.delivery.sink import Sink
from serve_apps.gateway.http.access import Access
from serve_apps.gateway.metrics.status import Overview
from serve_apps.gateway.services.campaigns import CampaignService
from serve_apps.gateway.services.decisions import DecisionQueries
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
    shards: ShardCalls
    directory: DirectoryCalls
    overview: Overview
    users: Users
    publishing: Publishing
    campaigns: CampaignService
    decisions: DecisionQueries
    explanations: Explanations
    sink: Sink
    policies: Policies
    simulations: Simulations
    lift_days: LiftDays
    unready: Callable[[], list[str]] = list
    """Returns why events are turned away now."""
