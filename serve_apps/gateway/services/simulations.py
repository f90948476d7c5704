"""Runs simulations of campaigns for callers: a plan from what the control plane holds, and records as documents.

A draft is simulated as if it were published now: with the newest templates, and with anything missing reported by the
checklist instead of refused. Everything acknowledged is first written to the warehouse, from which the history is read.
The work itself runs in a process of its own (:mod:`actors.simulation.process`).
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec.structs import replace

from actors.calls.learner import LearnerCalls
from actors.calls.shards import ShardCalls
from actors.jobs.simulation_runs import Simulations as Runs
from actors.simulation.record import Record, RunState
from cluster.control_plane import ControlPlane
from cluster.times import iso
from serve_apps.gateway.http.exchange import InvalidBodyError
from whisperer.content.errors import TemplateError
from whisperer.decisions.posterior import decode, encode
from whisperer.errors import NotFoundError, RequestError, UnavailableError
from whisperer.ids import TenantId
from whisperer.journeys.campaign import Campaign, to_json
from whisperer.journeys.parse import parse_campaign
from whisperer.shard.records import SegmentConfig
from whisperer.simulation.plan import LEARNED, MAX_DAYS, SimulationPlan, check_policy, model_of, template_place
from whisperer.simulation.result import SimulationResult
from whisperer.vocabulary.units import DAY_MS

FLUSH_TIMEOUT_S = 20.0

_Amount = Annotated[float, msgspec.Meta(ge=0, le=1e12)]


class SimulationBody(msgspec.Struct, forbid_unknown_fields=True):
    """A request for a simulation. Everything may be left out.

    Attributes
    ----------
    definition : of a campaign that need not exist; without it the waiting draft, else the version in force
    policy : ``learned``, ``uniform``, ``arm:`` and an arm's id, or a registered policy's version as ``name@3``
    days : simulated, before ``until``; without that, before the newest event
    budget : of those days, in the goal's unit
    detectable_lift : per user, in the goal's unit, that the holdout should be able to show
    largest_audience : share of all users above which the checklist asks
    """

    definition: dict[str, Any] | None = None
    policy: Annotated[str, msgspec.Meta(min_length=1, max_length=100)] = LEARNED
    days: Annotated[int, msgspec.Meta(ge=1, le=MAX_DAYS)] = 28
    until: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    budget: _Amount | None = None
    detectable_lift: _Amount | None = None
    largest_audience: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.5


class Progress(msgspec.Struct):
    """How many events were replayed, of how many."""

    events: int
    of: int


class SimulationDocument(msgspec.Struct, kw_only=True):
    """A simulation; ``result`` is None until it is done."""

    id: str
    campaign: str
    status: str
    started_at: str | None
    finished_at: str | None
    progress: Progress
    error: str | None
    result: SimulationResult[str] | None


class Simulations:
    """Begins simulations and shows their results."""

    def __init__(self, plane: ControlPlane, shards: ShardCalls, learner: LearnerCalls, runs: Runs) -> None:
        self._plane = plane
        self._shards = shards
        self._learner = learner
        self._runs = runs

    async def begin(self, tenant: TenantId, name: str, body: SimulationBody) -> SimulationDocument:
        """Begin a simulation.

        Raises NotFoundError if there is no such campaign and no definition is given, CampaignError, InvalidBodyError
        for an unknown policy, NotFoundError (`policy_not_found`, `policy_version_not_found`) for a version that is not
        registered, and OverloadError if too many are waiting.
        """
        plan = await asyncio.to_thread(self._plan, tenant, name, body)
        try:
            check_policy(plan.policy, plan.campaign)
        except RequestError as error:
            raise InvalidBodyError("/policy", error.message) from None
        digest = await asyncio.to_thread(self._digest, plan)
        flushed = (self._shards.call(s, "flush", timeout_s=FLUSH_TIMEOUT_S) for s in self._shards.places.current.shards)
        await asyncio.gather(*flushed, return_exceptions=True)  # a shard that is away keeps its data until later
        return document(await self._runs.begin(plan, await self._policies(plan), digest))

    async def show(self, tenant: TenantId, name: str, id: str) -> SimulationDocument:
        """Return one simulation. Raises NotFoundError (`simulation_not_found`)."""
        return document(await self._runs.show(tenant, name, id))

    async def list(self, tenant: TenantId, name: str) -> list[SimulationDocument]:
        """Return simulations, newest first, without results. Raises NotFoundError if there are none and no such
        campaign."""
        found = await self._runs.records(tenant, name)
        if not found:  # a definition can be simulated under a name that no campaign has
            await asyncio.to_thread(self._plane.get_campaign, tenant, name)
        return [replace(document(record), result=None) for record in found]

    async def newest(self, tenant: TenantId, name: str) -> SimulationDocument | None:
        """Return the newest finished simulation with its findings, or else the newest."""
        found = await self._runs.newest(tenant, name)
        return None if found is None else document(found)

    def _plan(self, tenant: TenantId, name: str, body: SimulationBody) -> SimulationPlan:
        campaign, version = self._campaign(tenant, name, body.definition)
        templates: dict[str, dict[str, Any]] = {}
        newest = {template.name: template for template in self._plane.list_templates(tenant)}
        arms = []
        for arm in campaign.arms:
            template = newest.get(arm.template)
            if template is not None:
                arm = replace(arm, template_version=template.version)
                place = template_place(arm.template, template.version)
                try:
                    templates[place] = self._plane.filled_template(tenant, template.body).body
                except TemplateError:  # the simulation says that it is broken
                    templates[place] = template.body
            arms.append(arm)
        campaign = replace(campaign, arms=tuple(arms))
        published = self._plane.published(tenant)
        others = sorted(published.campaigns, key=lambda row: (row.name != name, row.name))
        until = 0 if body.until is None else round(body.until.timestamp() * 1000)
        return SimulationPlan(
            tenant,
            name,
            version,
            to_json(campaign),
            -body.days * DAY_MS,
            until,
            policy=body.policy,
            segments=[SegmentConfig(row.name, row.version, json.dumps(row.predicate)) for row in published.segments],
            experiment=published.experiment,
            budget=body.budget,
            detectable_lift=body.detectable_lift,
            largest_audience=body.largest_audience,
            templates=templates,
            providers={channel: found.provider for channel, found in self._plane.list_channels(tenant).items()},
            others=[row.definition for row in others],
        )

    def _digest(self, plan: SimulationPlan) -> str:
        """Return the digest of the registered version that the plan's policy names, "" if it names none."""
        asked = model_of(plan.policy)
        if asked is None:
            return ""
        name, version = asked
        for one in self._plane.get_policy(plan.tenant, name).versions:
            if one.version == version:
                return one.digest
        raise NotFoundError(f"{name} has no version {version}", code="policy_version_not_found")

    def _campaign(self, tenant: TenantId, name: str, definition: dict[str, Any] | None) -> tuple[Campaign, int]:
        """Return the given definition, or else the waiting draft, or else the version in force."""
        if definition is not None:
            return parse_campaign(definition, name), 0
        row = self._plane.get_campaign(tenant, name)
        if row.draft_version is not None:
            row = self._plane.get_campaign(tenant, name, row.draft_version)
        return row.campaign, row.version

    async def _policies(self, plan: SimulationPlan) -> bytes:
        if plan.policy != LEARNED and model_of(plan.policy) is None:
            return b""
        try:
            known = decode(await self._learner.learned())
        except UnavailableError:
            return b""
        place = plan.tenant, plan.name
        return encode([(place, known[place])] if place in known else [])


def document(record: Record) -> SimulationDocument:
    """Return a record for callers."""
    return SimulationDocument(
        id=record.id,
        campaign=record.campaign,
        status=record.status,
        started_at=iso(record.started_at),
        finished_at=None if record.status == RunState.RUNNING else iso(record.updated_at),
        progress=Progress(record.n_done, record.n_events),
        error=record.error or None,
        result=None if record.result is None else _dated(record.result),
    )


def _dated(result: SimulationResult[int]) -> SimulationResult[str]:
    """Return a result with ISO 8601 times."""
    budget = result.budget
    windows = [
        replace(window, begins_at=iso(window.begins_at), ends_at=iso(window.ends_at)) for window in budget.windows
    ]
    dated = {
        "since": iso(result.since),
        "until": iso(result.until),
        "days": [replace(day, day=str(iso(day.day))[:10]) for day in result.days],
        "budget": replace(budget, windows=windows),
    }
    return SimulationResult(**(msgspec.structs.asdict(result) | dated))
