"""Saves questions about campaigns, and answers them with what the campaigns' reports know now.

metric        answers, for each campaign                                    period
accounting    what became of every candidate, by group and arm              all the time since it was published
lift          what it was worth: the goal per user over the holdout         the same
lift_by_day   the same day by day, with intervals that may be looked at     the last days, or from a day to a day
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from cluster.control_plane import ControlPlane
from cluster.control_plane.access_documents import SavedReportDocument, saved_report_document
from cluster.control_plane.listing import Part, Place
from cluster.control_plane.tenancy.saved_reports import SavedReport
from cluster.times import iso
from serve_apps.gateway.services.campaigns import CampaignService
from serve_apps.gateway.services.lift_days import DayDocument, LiftDays
from serve_apps.gateway.services.report import Report
from whisperer.errors import NotFoundError, Problem, ProblemsError
from whisperer.ids import TenantId
from whisperer.journeys.limits import NAME_PATTERN

MAX_CAMPAIGNS = 10
MAX_DAYS = 731
BY_DAY = "lift_by_day"
FIELDS = {
    "accounting": (
        *("version", "status", "since", "candidates", "sent", "unknown", "no_send", "pending", "refused"),
        *("conversions", "outcomes"),
        *("groups", "arms", "budget"),
    ),
    "lift": ("version", "status", "since", "groups", "conflicted_users", "lift", "uniform_lift", "sample_ratio"),
}
"""What of a campaign's report answers a metric."""


class SavedReportError(ProblemsError):
    """A report asks what cannot be answered."""

    subject = "report"
    code = "invalid_report"


class Period(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Days in UTC: the last ``last_days``, or ``from`` to ``to``, both of them included; an open end is today."""

    last_days: Annotated[int, msgspec.Meta(ge=1, le=MAX_DAYS)] | None = None
    first: date | None = msgspec.field(default=None, name="from")
    last: date | None = msgspec.field(default=None, name="to")

    def days(self, today: date) -> tuple[date, date]:
        """Return the first and the last day that are meant, on a given day."""
        last = self.last or today
        if self.last_days is not None:
            return last - timedelta(days=self.last_days - 1), last
        return self.first or last - timedelta(days=MAX_DAYS - 1), last


class ReportDefinition(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What a saved report asks."""

    campaigns: Annotated[
        list[Annotated[str, msgspec.Meta(pattern=f"^{NAME_PATTERN}$")]],
        msgspec.Meta(min_length=1, max_length=MAX_CAMPAIGNS),
    ]
    metric: Literal["accounting", "lift", "lift_by_day"]
    period: Period | None = None


class PeriodDocument(msgspec.Struct):
    """The days that an answer covers."""

    first: str = msgspec.field(name="from")
    last: str = msgspec.field(name="to")


class ReportResult(msgspec.Struct):
    """A saved report's answer; ``data`` has an entry for each campaign."""

    name: str
    metric: str
    as_of: str | None
    period: PeriodDocument | None
    data: list[dict[str, Any]]


class SavedReportService:
    """Saved reports as callers see them."""

    def __init__(
        self,
        plane: ControlPlane,
        campaigns: CampaignService,
        lift_days: LiftDays,
        clock: Callable[[], int] = lambda: time.time_ns() // 10**6,
    ) -> None:
        self._plane = plane
        self._campaigns = campaigns
        self._lift_days = lift_days
        self._clock = clock

    async def create(self, tenant: TenantId, name: str, asked: ReportDefinition) -> SavedReport:
        """Save a new report. Raises SavedReportError, and as the control plane's."""
        return await asyncio.to_thread(self._plane.create_report, tenant, name, await self._checked(tenant, asked))

    async def put(self, tenant: TenantId, name: str, asked: ReportDefinition, if_match: str | None) -> SavedReport:
        """Save a report or replace one. Raises SavedReportError, and as the control plane's."""
        definition = await self._checked(tenant, asked)
        return await asyncio.to_thread(partial(self._plane.put_report, tenant, name, definition, if_match))

    async def page(self, tenant: TenantId, place: Place) -> Part[SavedReport]:
        """Return a part of the reports, by name."""
        return await asyncio.to_thread(self._plane.page_of_reports, tenant, place)

    async def show(self, tenant: TenantId, name: str) -> SavedReport:
        """Return a report. Raises NotFoundError."""
        return await asyncio.to_thread(self._plane.get_report, tenant, name)

    async def delete(self, tenant: TenantId, name: str) -> SavedReportDocument:
        """Delete a report and return what it was. Raises NotFoundError."""
        deleted = await self.show(tenant, name)
        await asyncio.to_thread(self._plane.delete_report, tenant, name)
        return saved_report_document(deleted)

    async def run(self, tenant: TenantId, name: str) -> ReportResult:
        """Answer a report now. Raises NotFoundError, and what the campaigns' reports raise."""
        asked = msgspec.convert((await self.show(tenant, name)).definition, ReportDefinition)
        now = self._clock()
        if asked.metric == BY_DAY:
            first, last = (asked.period or Period()).days(datetime.fromtimestamp(now / 1000, UTC).date())
            days = [await self._days(tenant, campaign, first, last) for campaign in asked.campaigns]
            return ReportResult(name, asked.metric, iso(now), PeriodDocument(str(first), str(last)), days)
        answers = [await self._campaigns.report(tenant, campaign) for campaign in asked.campaigns]
        return ReportResult(name, asked.metric, iso(now), None, [_part(one, asked.metric) for one in answers])

    async def _days(self, tenant: TenantId, campaign: str, first: date, last: date) -> dict[str, Any]:
        found = await self._lift_days.show(tenant, campaign)
        days: list[DayDocument] = [one for one in found.data if str(first) <= one.day <= str(last)]
        return {
            "campaign": campaign,
            "as_of": found.as_of,
            "window_s": found.window_s,
            "conflicted_users": found.conflicted_users,
            "days": days,
        }

    async def _checked(self, tenant: TenantId, asked: ReportDefinition) -> dict[str, Any]:
        """Return a definition as it is stored. Raises SavedReportError with every problem."""
        problems = _problems_of(asked)
        for place, campaign in enumerate(asked.campaigns):
            try:
                await asyncio.to_thread(self._plane.get_campaign, tenant, campaign)
            except NotFoundError:
                problems.append(
                    _problem(f"/campaigns/{place}", "unknown_campaign", f"there is no campaign {campaign!r}")
                )
        if problems:
            raise SavedReportError(problems)
        stored: dict[str, Any] = msgspec.to_builtins(asked)
        return stored


def _problems_of(asked: ReportDefinition) -> list[Problem]:
    problems: list[Problem] = []
    if len(set(asked.campaigns)) != len(asked.campaigns):
        problems.append(_problem("/campaigns", "invalid_report", "name each campaign once"))
    period = asked.period
    if period is None:
        return problems
    if asked.metric != BY_DAY:
        message = f"{asked.metric} covers all the time since a campaign was published; {BY_DAY} has a period"
        problems.append(_problem("/period", "invalid_report", message))
    if period.last_days is not None and (period.first or period.last):
        problems.append(_problem("/period", "invalid_report", "name last_days, or from and to, not both"))
    if period.first and period.last and not 0 <= (period.last - period.first).days < MAX_DAYS:
        message = f"to is not before from, and at most {MAX_DAYS} days are looked at"
        problems.append(_problem("/period", "invalid_report", message))
    return problems


def _problem(pointer: str, code: str, message: str) -> Problem:
    return Problem(pointer=pointer, code=code, message=message)


def _part(report: Report, metric: str) -> dict[str, Any]:
    return {"campaign": report.name} | {field: getattr(report, field) for field in FIELDS[metric]}
