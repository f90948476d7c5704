"""Campaigns: drafts are edited in place, published versions never change, and one version of each is in force.

    draft --publish--> live <--pause/resume--> paused;   live, paused --end--> ended

The version in force is the newest published one. Publishing the next version ends it; editing an ended campaign and
publishing it again revives it as a new version. Publishing pins the newest version of every template that the arms
name. What a campaign may contain is decided in ``whisperer/journeys``, whether it may go live in
:mod:`cluster.control_plane.approval`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.control_plane.approval import Kind, called, content_tag, outdate, permit, permit_again, went_live
from cluster.control_plane.audit.acting import acting
from cluster.control_plane.etags import check, etag
from cluster.control_plane.models import CampaignRow
from cluster.control_plane.pinning import check_trigger, pin
from cluster.control_plane.transactions import Transactions, find_tenant, now_ms
from whisperer.errors import ConflictError, NotFoundError
from whisperer.ids import TenantId
from whisperer.journeys.caller import to_caller
from whisperer.journeys.campaign import Campaign, CampaignStatus, from_json, to_json
from whisperer.journeys.parse import parse_campaign

MOST_GOING = 200
"""Most draft, live and paused campaigns of a tenant: each is considered for the tenant's events."""


@dataclass(frozen=True, slots=True)
class CampaignVersion:
    """One version; for a whole campaign, the one in force, or its draft if none was published.

    Attributes
    ----------
    definition : text of :func:`whisperer.journeys.campaign.to_json`
    published_at : ms UTC; None for a draft
    first_published_at : when the campaign's first version was published; None if it has none
    changed_at : when a draft's definition, or the status, last changed
    draft_version : version of a draft that waits next to this one, else None
    etag : of the whole campaign, including a draft; "" for one of its older versions
    """

    tenant_id: TenantId
    name: str
    version: int
    status: str
    definition: str
    created_at: int
    published_at: int | None
    changed_at: int
    first_published_at: int | None = None
    draft_version: int | None = None
    etag: str = ""

    @property
    def campaign(self) -> Campaign:
        return from_json(self.definition)

    @property
    def draft_etag(self) -> str:
        """The tag of its content as a draft, whatever templates it is pinned to."""
        return _tag(self.name, self.definition)


class Campaigns(Transactions):
    """Creates, publishes, pauses, resumes, ends and reads campaigns."""

    def create_campaign(self, tenant: str, name: str, definition: object, *, publish: bool = False) -> CampaignVersion:
        """Store a draft and, if asked, publish it; both or neither.

        Raises CampaignError with every problem, and ConflictError (`campaign_exists`, `too_many_campaigns`).
        """
        campaign = parse_campaign(definition, name)
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            if versions_of(session, owner.id, name):
                raise ConflictError(f"campaign {name!r} exists already; change it with PUT", code="campaign_exists")
            draft = write_draft(session, owner.id, campaign)
            return publish_draft(session, owner.id, name) if publish else draft

    def put_campaign(
        self, tenant: str, name: str, definition: object, *, publish: bool = False, if_match: str | None = None
    ) -> CampaignVersion:
        """Create or change a campaign: replace its draft, or else add the next version.

        Raises what :meth:`create_campaign` does when a definition is refused, and StaleError if ``if_match`` names tags
        and none of them is the campaign's.
        """
        campaign = parse_campaign(definition, name)
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            held = versions_of(session, owner.id, name)
            check(if_match, _whole(held).etag if held else None)
            draft = write_draft(session, owner.id, campaign)
            return publish_draft(session, owner.id, name) if publish else draft

    def get_campaign(self, tenant: str, name: str, version: int | None = None) -> CampaignVersion:
        """Return the named version, or else the version in force, or else the draft. Raises NotFoundError."""
        with self._reading() as session:
            owner = find_tenant(session, tenant)
            rows = _require(versions_of(session, owner.id, name), name)
            whole = _whole(rows)
            if version is None:
                return whole
            for row in rows:
                if row.version == version:
                    return replace(_version(row), first_published_at=whole.first_published_at)
        raise NotFoundError(f"campaign {name!r} has no version {version}", code="campaign_not_found")

    def list_campaigns(self, tenant: str) -> list[CampaignVersion]:
        """Return every campaign by name: the version in force, or the draft."""
        with self._reading() as session:
            return campaigns_of(session, find_tenant(session, tenant).id)

    def publish_campaign(self, tenant: str, name: str, *, if_match: str | None = None) -> CampaignVersion:
        """Put the draft into force, live; a live campaign without a draft takes up newer templates.

        A live campaign that would come out the same is left unchanged. ``if_match`` names the campaign's tag or its
        draft's. Raises CampaignError (`unknown_template` among others), StaleError and ConflictError
        (`nothing_to_publish`, `approval_required`).
        """
        with self._writing() as session:
            return publish_draft(session, find_tenant(session, tenant).id, name, if_match)

    def pause_campaign(self, tenant: str, name: str) -> CampaignVersion:
        """Stop considering users, and stop sends not yet given to a provider. Pausing twice changes nothing."""
        return self._turn(tenant, name, (CampaignStatus.LIVE, CampaignStatus.PAUSED), CampaignStatus.PAUSED)

    def resume_campaign(self, tenant: str, name: str) -> CampaignVersion:
        """Consider users again. Raises ConflictError (`campaign_not_live`) if the campaign has ended."""
        return self._turn(tenant, name, (CampaignStatus.LIVE, CampaignStatus.PAUSED), CampaignStatus.LIVE)

    def end_campaign(self, tenant: str, name: str) -> CampaignVersion:
        """End a campaign for good; its versions are kept. A draft stays; ending twice changes nothing."""
        return self._turn(
            tenant,
            name,
            (CampaignStatus.DRAFT, CampaignStatus.LIVE, CampaignStatus.PAUSED, CampaignStatus.ENDED),
            CampaignStatus.ENDED,
        )

    def _turn(self, tenant: str, name: str, allowed: Sequence[str], status: str) -> CampaignVersion:
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            rows = _require(versions_of(session, owner.id, name), name)
            row = in_force(rows) or rows[-1]
            if row.status not in allowed:
                raise ConflictError(f"{name} is {row.status}; publish it first", code="campaign_not_live")
            if row.status != status:
                _set_status(row, status)
                if row.published_at is None:  # a draft that ended is a draft no more
                    outdate(session, owner.id, Kind.CAMPAIGN, name, None)
            return _whole(rows)


def campaigns_of(session: Session, tenant_id: TenantId) -> list[CampaignVersion]:
    """Return every campaign of a tenant by name: the version in force, or the draft."""
    query = select(CampaignRow).where(CampaignRow.tenant_id == tenant_id)
    rows = session.scalars(query.order_by(CampaignRow.name, CampaignRow.version))
    return [_whole(list(versions)) for _, versions in groupby(rows, key=lambda row: row.name)]


def versions_of(session: Session, tenant_id: TenantId, name: str) -> list[CampaignRow]:
    """Return all versions of a campaign, oldest first; a draft is the last of them."""
    query = select(CampaignRow).where(CampaignRow.tenant_id == tenant_id, CampaignRow.name == name)
    return list(session.scalars(query.order_by(CampaignRow.version)))


def _require(rows: list[CampaignRow], name: str) -> list[CampaignRow]:
    if not rows:
        raise NotFoundError(f"there is no campaign {name[:80]!r}", code="campaign_not_found")
    return rows


def in_force(rows: Sequence[CampaignRow]) -> CampaignRow | None:
    """Return the version in force, of all versions of a campaign, oldest first."""
    return next((row for row in reversed(rows) if row.published_at is not None), None)


def write_draft(session: Session, tenant_id: TenantId, campaign: Campaign) -> CampaignVersion:
    """Write a campaign's draft. Raises ConflictError (`too_many_campaigns`)."""
    rows = versions_of(session, tenant_id, campaign.name)
    definition = to_json(campaign)
    _check_going(session, tenant_id, rows)
    outdate(session, tenant_id, Kind.CAMPAIGN, campaign.name, _tag(campaign.name, definition))
    if rows and rows[-1].status == CampaignStatus.DRAFT and _is_as(rows[-1], definition):
        return _whole(rows)
    if rows and rows[-1].status == CampaignStatus.DRAFT:
        rows[-1].definition, rows[-1].changed_at, rows[-1].written_by = definition, now_ms(), called(acting())
    else:
        version = rows[-1].version + 1 if rows else 1
        rows.append(_add(session, tenant_id, campaign.name, version, definition))
    session.flush()
    return _whole(rows)


def _check_going(session: Session, tenant_id: TenantId, rows: Sequence[CampaignRow]) -> None:
    """Raise ConflictError if one more campaign than those that have not ended would be too many."""
    if not all(row.status == CampaignStatus.ENDED for row in rows):
        return
    going = select(func.count(CampaignRow.name.distinct()))
    n_going = session.scalars(
        going.where(CampaignRow.tenant_id == tenant_id, CampaignRow.status != CampaignStatus.ENDED)
    ).one()
    if n_going >= MOST_GOING:
        raise ConflictError(f"{MOST_GOING} campaigns have not ended: end one first", code="too_many_campaigns")


def publish_draft(session: Session, tenant_id: TenantId, name: str, if_match: str | None = None) -> CampaignVersion:
    """Put a campaign's draft into force; see :meth:`Campaigns.publish_campaign`."""
    rows = _require(versions_of(session, tenant_id, name), name)
    newest, before = rows[-1], in_force(rows)
    tag = _tag(name, newest.definition)
    check(if_match, _whole(rows).etag, tag)
    if newest.status not in (CampaignStatus.DRAFT, CampaignStatus.LIVE):
        hint = "resume it" if newest.status == CampaignStatus.PAUSED else "edit it first"
        raise ConflictError(f"{name} is {newest.status} and has no draft; {hint}", code="nothing_to_publish")
    definition = to_json(pin(session, tenant_id, from_json(newest.definition)))
    if newest.status == CampaignStatus.LIVE:
        if _is_as(newest, definition):
            return _whole(rows)
        newest = _add(session, tenant_id, name, newest.version + 1, definition)
        rows = [*rows, newest]
    review_id = permit(session, tenant_id, Kind.CAMPAIGN, name, tag)
    _put_into_force(newest, before, definition, CampaignStatus.LIVE)
    went_live(session, tenant_id, Kind.CAMPAIGN, name, newest.version, tag, review_id)
    session.flush()
    return _whole(rows)


def roll_back(session: Session, tenant_id: TenantId, name: str, to: int, if_match: str | None) -> CampaignVersion:
    """Put the content of an older version into force as a new one, with the templates it was pinned to.

    A draft of other content stays, under the next number. A paused campaign stays paused. Raises NotFoundError
    (`campaign_not_found`, `version_not_found`), StaleError, CampaignError (`unknown_segment`) and ConflictError
    (`nothing_to_roll_back`, `approval_required`, `too_many_campaigns`).
    """
    rows = _require(versions_of(session, tenant_id, name), name)
    newest, before = rows[-1], in_force(rows)
    check(if_match, _whole(rows).etag)
    older = next((row for row in rows if row.version == to and row.published_at is not None), None)
    if older is None:
        raise NotFoundError(f"no version {to} of campaign {name!r} was ever live", code="version_not_found")
    if older is before and older.status != CampaignStatus.ENDED:
        raise ConflictError(f"version {to} of {name} is in force already", code="nothing_to_roll_back")
    _check_going(session, tenant_id, rows)
    check_trigger(session, tenant_id, from_json(older.definition))
    review_id = permit_again(session, tenant_id, Kind.CAMPAIGN, name, to)
    definition, tag = older.definition, _tag(name, older.definition)
    if newest.status != CampaignStatus.DRAFT:
        newest = _add(session, tenant_id, name, newest.version + 1, definition)
        rows = [*rows, newest]
    elif _tag(name, newest.definition) != tag:
        moved = _add(session, tenant_id, name, newest.version + 1, newest.definition)
        moved.created_at, moved.changed_at, moved.written_by = newest.created_at, newest.changed_at, newest.written_by
        rows = [*rows, moved]
    newest.written_by = older.written_by
    is_paused = before is not None and before.status == CampaignStatus.PAUSED
    _put_into_force(newest, before, definition, CampaignStatus.PAUSED if is_paused else CampaignStatus.LIVE)
    went_live(session, tenant_id, Kind.CAMPAIGN, name, newest.version, tag, review_id, rolled_back_to=to)
    session.flush()
    return _whole(rows)


def drop_draft(session: Session, tenant_id: TenantId, name: str) -> None:
    """Delete a campaign's draft; a campaign that was never published goes with it."""
    rows = versions_of(session, tenant_id, name)
    if rows and rows[-1].status == CampaignStatus.DRAFT:
        session.delete(rows[-1])


def _put_into_force(row: CampaignRow, before: CampaignRow | None, definition: str, status: str) -> None:
    if before is not None:
        _set_status(before, CampaignStatus.ENDED)
    row.definition, row.status = definition, status
    row.published_at = row.changed_at = now_ms()


def _is_as(row: CampaignRow, definition: str) -> bool:
    """Return whether a version says the same, also one that was stored before a field was added."""
    return row.definition == definition or to_json(from_json(row.definition)) == definition


def _tag(name: str, definition: str) -> str:
    return content_tag(Kind.CAMPAIGN, name, to_caller(from_json(definition)))


def _add(session: Session, tenant_id: TenantId, name: str, version: int, definition: str) -> CampaignRow:
    now = now_ms()
    row = CampaignRow(
        tenant_id=tenant_id,
        name=name,
        version=version,
        status=CampaignStatus.DRAFT,
        definition=definition,
        created_at=now,
        published_at=None,
        changed_at=now,
        written_by=called(acting()),
    )
    session.add(row)
    return row


def _set_status(row: CampaignRow, status: str) -> None:
    row.status, row.changed_at = status, now_ms()


def _whole(rows: Sequence[CampaignRow]) -> CampaignVersion:
    """Build a campaign from all its versions, given oldest first."""
    newest = rows[-1]
    shown = in_force(rows) or newest
    return replace(
        _version(shown),
        first_published_at=next((row.published_at for row in rows if row.published_at is not None), None),
        draft_version=newest.version if newest.status == CampaignStatus.DRAFT and newest is not shown else None,
        etag=etag(*(part for row in (shown, newest) for part in (row.version, row.status, row.definition))),
    )


def _version(row: CampaignRow) -> CampaignVersion:
    return CampaignVersion(
        tenant_id=row.tenant_id,
        name=row.name,
        version=row.version,
        status=row.status,
        definition=row.definition,
        created_at=row.created_at,
        published_at=row.published_at,
        changed_at=row.changed_at,
    )
