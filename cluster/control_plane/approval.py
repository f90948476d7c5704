"""Decides what may go live, and writes down what did: the one gate that every way of publishing passes.

If a tenant asks for a second person, content goes live only if a review of exactly this content is approved, whichever
call publishes it and whoever makes it, the operator included. Content is compared by its tag, so a draft that changed
after its review is not covered by it. What is live and its revision are written in one transaction.

Who may approve is decided in :mod:`cluster.control_plane.drafts.reviews`.
"""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.control_plane.audit.acting import Actor, ActorKind, acting
from cluster.control_plane.etags import etag
from cluster.control_plane.models import DraftRow, ReviewRow, RevisionRow, TenantSettingsRow
from cluster.control_plane.transactions import home_of, now_ms
from whisperer.errors import ConflictError
from whisperer.ids import TenantId
from whisperer.vocabulary.named import Named


class Kind(Named):
    """What goes from draft to live."""

    CAMPAIGN = "campaign"
    TEMPLATE = "template"
    SEGMENT = "segment"
    POLICY = "policy"


class ReviewState(Named):
    OPEN = "open"
    APPROVED = "approved"
    REJECTED = "rejected"
    WITHDRAWN = "withdrawn"
    OUTDATED = "outdated"
    """The draft changed, or went, after it was submitted."""
    PUBLISHED = "published"
    """It was approved, and its content has gone live."""


PENDING = (ReviewState.OPEN, ReviewState.APPROVED)
"""A review that may still lead to something."""


def content_tag(kind: Kind, name: str, content: Any) -> str:
    """Return a tag that is equal only for equal content (as JSON, in any order of keys) of the same thing."""
    return etag(kind, name, json.dumps(content, sort_keys=True, separators=(",", ":")))


def is_approval_needed(session: Session, tenant_id: TenantId) -> bool:
    """Return whether a tenant asks for a second person."""
    row = session.get(TenantSettingsRow, home_of(session, tenant_id).id)
    return row is not None and row.approval


def permit(session: Session, tenant_id: TenantId, kind: Kind, name: str, tag: str) -> str | None:
    """Return the id of the approved review of this content, or None where the tenant asks for none.

    Raises ConflictError (`approval_required`).
    """
    query = _pending(tenant_id, kind, name).where(ReviewRow.state == ReviewState.APPROVED, ReviewRow.etag == tag)
    approved = session.scalars(query.order_by(ReviewRow.id.desc()).limit(1)).one_or_none()
    if approved is None and is_approval_needed(session, tenant_id):
        raise approval_required(kind, name)
    return None if approved is None else approved.id


def permit_again(session: Session, tenant_id: TenantId, kind: Kind, name: str, version: int) -> str | None:
    """Return the review by which an older version went live, for its content to do so again.

    Raises ConflictError (`approval_required`) if there was none and the tenant asks for one now.
    """
    revision = session.get(RevisionRow, (tenant_id, kind, name, version))
    review_id = None if revision is None else revision.review_id
    if review_id is None and is_approval_needed(session, tenant_id):
        raise approval_required(kind, name)
    return review_id


def approval_required(kind: Kind, name: str) -> ConflictError:
    message = (
        f"somebody else must approve this content of the {kind} {name!r} before it goes live: "
        "write it as a draft, submit it, and publish it once the review is approved"
    )
    return ConflictError(message, code="approval_required")


def went_live(
    session: Session,
    tenant_id: TenantId,
    kind: Kind,
    name: str,
    version: int,
    tag: str,
    review_id: str | None,
    *,
    rolled_back_to: int | None = None,
) -> None:
    """Write down who took a version live, and close what its content was waiting for: a draft, reviews."""
    session.add(
        RevisionRow(
            tenant_id=tenant_id,
            kind=kind,
            name=name,
            version=version,
            at=now_ms(),
            by=called(acting()),
            review_id=review_id,
            rolled_back_to=rolled_back_to,
        )
    )
    close(session, tenant_id, kind, name, tag)


def close(session: Session, tenant_id: TenantId, kind: Kind, name: str, tag: str) -> None:
    """Remove the draft that has this content, which is live now, and end its reviews."""
    draft = session.get(DraftRow, (tenant_id, kind, name))
    if draft is not None and content_tag(kind, name, draft.body) == tag:
        session.delete(draft)
    for review in session.scalars(_pending(tenant_id, kind, name).where(ReviewRow.etag == tag)):
        if review.state == ReviewState.APPROVED:
            review.state = ReviewState.PUBLISHED
        else:
            review.state, review.reason = ReviewState.OUTDATED, "its content went live without it"


def outdate(session: Session, tenant_id: TenantId, kind: Kind, name: str, tag: str | None) -> None:
    """End the reviews of any other content than the draft's, which is None if there is no draft any more."""
    for review in session.scalars(_pending(tenant_id, kind, name)):
        if review.etag != tag:
            review.state = ReviewState.OUTDATED


def outdate_content(session: Session, tenant_id: TenantId, kind: Kind, name: str, tag: str) -> None:
    """End the reviews of this content: what was approved proved bad, and has to be looked at again."""
    for review in session.scalars(_pending(tenant_id, kind, name).where(ReviewRow.etag == tag)):
        review.state = ReviewState.OUTDATED


def called(actor: Actor) -> str:
    """Return an actor's name for people, at most 320 characters."""
    name = f"key {actor.id}" if actor.kind is ActorKind.KEY else actor.name or actor.id or str(actor.kind)
    return name[:320]


def _pending(tenant_id: TenantId, kind: Kind, name: str) -> Any:
    return select(ReviewRow).where(
        ReviewRow.tenant_id == tenant_id,
        ReviewRow.kind == kind,
        ReviewRow.name == name,
        ReviewRow.state.in_(PENDING),
    )
