"""Reviews: somebody submits a draft, somebody else lets it go live.

    open --approve--> approved --publish--> published;   open --reject--> rejected
    open, approved --withdraw--> withdrawn;   open, approved --the draft changes or goes--> outdated

A review covers the content that was submitted and no other; it keeps a copy, so that what was looked at can be shown
for good. Whoever submitted may not approve or reject, and a key stands for whoever made it: two names of one person are
not two people. A thing has at most one review that is open or approved. Of those that led to nothing, the newest
:data:`KEPT` of each thing are kept.
"""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.control_plane.approval import PENDING, Kind, ReviewState, called
from cluster.control_plane.audit.acting import Actor, ActorKind, acting
from cluster.control_plane.audit.finding import entry_of
from cluster.control_plane.drafts.comparing import compare
from cluster.control_plane.drafts.documents import ReviewDocument, ReviewedDocument
from cluster.control_plane.drafts.kinds import KINDS
from cluster.control_plane.etags import check
from cluster.control_plane.listing import Part, Place, rows_of
from cluster.control_plane.models import ApiKeyRow, ReviewRow
from cluster.control_plane.transactions import Transactions, find_tenant, now_ms
from cluster.times import iso
from whisperer.errors import ConflictError, ForbiddenError, NotFoundError
from whisperer.ids import TenantId, new_id

MAX_NOTE = 2_000
MAX_REASON = 1_000
KEPT = 100
_MOST_KEYS_BACK = 10
"""A key may have been made by a key, and so on; further back than this, nobody looks."""


class Reviews(Transactions):
    """Submits drafts, and decides about what was submitted."""

    def submit_draft(
        self, tenant: str, kind: Kind, name: str, *, note: str = "", if_match: str | None = None
    ) -> ReviewDocument:
        """Ask somebody else to look at a draft.

        Raises NotFoundError (`draft_not_found`), StaleError if ``if_match`` is not the draft's tag, and ConflictError
        (`review_pending`) if exactly this content is under review or approved already.
        """
        what, who = KINDS[kind], acting()
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            draft = what.draft(session, owner.id, name)
            if draft is None:
                raise NotFoundError(f"the {kind} {name[:80]!r} has no draft", code="draft_not_found")
            tag = what.tag(name, draft.content)
            check(if_match, tag)
            if pending_review(session, owner.id, kind, name) is not None:
                raise ConflictError(f"this draft of {name!r} was submitted already", code="review_pending")
            _forget(session, owner.id, kind, name)
            row = ReviewRow(
                id=new_id("rv"),
                tenant_id=owner.id,
                kind=kind,
                name=name,
                etag=tag,
                content=draft.content,
                base=what.live(session, owner.id, name),
                note=note[:MAX_NOTE],
                state=ReviewState.OPEN,
                requested_by=called(who),
                requested_by_id=identity(who),
                requested_at=now_ms(),
            )
            session.add(row)
            return _document(row)

    def page_of_reviews(
        self, tenant: str, place: Place, *, state: str | None = None, kind: str | None = None, name: str | None = None
    ) -> Part[ReviewDocument]:
        """Return a part of those of a tenant's reviews that match, in the order in which they were asked for."""
        with self._reading() as session:
            query = select(ReviewRow).where(ReviewRow.tenant_id == find_tenant(session, tenant).id)
            for column, wanted in ((ReviewRow.state, state), (ReviewRow.kind, kind), (ReviewRow.name, name)):
                if wanted is not None:
                    query = query.where(column == wanted)
            rows, last = rows_of(session, query, ReviewRow.id, place)
            return Part([_document(row[0]) for row in rows], last)

    def get_review(self, tenant: str, review_id: str) -> ReviewedDocument:
        """Return a review with its content and difference. Raises NotFoundError (`review_not_found`).

        While it may still go live, its content is compared with what is live now, afterwards with what was live when it
        was submitted.
        """
        with self._reading() as session:
            row = _require(session, find_tenant(session, tenant).id, review_id)
            what = KINDS[Kind(row.kind)]
            base = what.live(session, row.tenant_id, row.name) if row.state in PENDING else row.base
            document = _document(row)
            diff = compare(session, row.tenant_id, what, row.name, base, row.content)
            fields = {field: getattr(document, field) for field in document.__struct_fields__}
            return ReviewedDocument(**fields, content=row.content, diff=diff)

    def approve_review(self, tenant: str, review_id: str, *, reason: str = "") -> ReviewDocument:
        """Let the content go live. Raises NotFoundError, ForbiddenError (`own_review`), ConflictError
        (`review_closed`)."""
        return self._decide(tenant, review_id, ReviewState.APPROVED, reason)

    def reject_review(self, tenant: str, review_id: str, *, reason: str = "") -> ReviewDocument:
        """Refuse the content. Raises as :meth:`approve_review`."""
        return self._decide(tenant, review_id, ReviewState.REJECTED, reason)

    def withdraw_review(self, tenant: str, review_id: str, *, reason: str = "", others: bool = True) -> ReviewDocument:
        """End a review that is open or approved; the draft stays. ``others``: also one that somebody else submitted.

        Raises NotFoundError, ForbiddenError (`forbidden`), ConflictError (`review_closed`).
        """
        with self._writing() as session:
            row = _require(session, find_tenant(session, tenant).id, review_id)
            if not others and row.requested_by_id != identity(acting()):
                raise ForbiddenError(
                    f"{row.requested_by} submitted this; to withdraw it needs the permission reviews:write"
                )
            return _end(row, PENDING, ReviewState.WITHDRAWN, reason)

    def _decide(self, tenant: str, review_id: str, state: ReviewState, reason: str) -> ReviewDocument:
        with self._writing() as session:
            row = _require(session, find_tenant(session, tenant).id, review_id)
            if identity(acting()) in _submitters(session, row):
                raise ForbiddenError("you submitted this: somebody else has to decide about it", code="own_review")
            return _end(row, (ReviewState.OPEN,), state, reason)


def identity(actor: Actor) -> str:
    """Return what tells actors apart: an id, or the kind of those that there is one of, such as the operator."""
    return (actor.id or str(actor.kind))[:64]


def pending_review(session: Session, tenant_id: TenantId, kind: Kind, name: str) -> ReviewRow | None:
    """Return the review of the present draft that is open or approved, if there is one."""
    query = select(ReviewRow).where(
        ReviewRow.tenant_id == tenant_id,
        ReviewRow.kind == kind,
        ReviewRow.name == name,
        ReviewRow.state.in_(PENDING),
    )
    return session.scalars(query.order_by(ReviewRow.id.desc()).limit(1)).one_or_none()


def _submitters(session: Session, row: ReviewRow) -> set[str]:
    """Return who submitted a review: if it was a key, also whoever made the key."""
    found, key_id = {row.requested_by_id}, row.requested_by_id
    for _ in range(_MOST_KEYS_BACK):
        key = session.get(ApiKeyRow, key_id)
        entry = None if key is None else entry_of(session, key.tenant_id, "api_keys", key.id, key.created_at)
        if entry is None:
            break
        key_id = identity(Actor(ActorKind(entry.actor_kind), entry.actor_id))
        found.add(key_id)
    return found


def _end(row: ReviewRow, allowed: tuple[ReviewState, ...], state: ReviewState, reason: str) -> ReviewDocument:
    if row.state not in allowed:
        raise ConflictError(f"this review is {row.state}; submit the draft again", code="review_closed")
    who = acting()
    row.state, row.reason = state, reason[:MAX_REASON] or None
    row.decided_by, row.decided_by_id, row.decided_at = called(who), identity(who), now_ms()
    return _document(row)


def _forget(session: Session, tenant_id: TenantId, kind: Kind, name: str) -> None:
    """Delete the oldest reviews that led to nothing, so that :data:`KEPT` are there with the one to come."""
    query = select(ReviewRow).where(
        ReviewRow.tenant_id == tenant_id,
        ReviewRow.kind == kind,
        ReviewRow.name == name,
        ReviewRow.state.in_((ReviewState.REJECTED, ReviewState.WITHDRAWN, ReviewState.OUTDATED)),
    )
    for row in session.scalars(query.order_by(ReviewRow.id.desc()).offset(KEPT - 1)):
        session.delete(row)


def _require(session: Session, tenant_id: TenantId, review_id: str) -> ReviewRow:
    row = session.get(ReviewRow, review_id[:32])
    if row is None or row.tenant_id != tenant_id:
        raise NotFoundError(f"there is no review {review_id[:80]!r}", code="review_not_found")
    return row


def _document(row: ReviewRow) -> ReviewDocument:
    return ReviewDocument(
        id=row.id,
        kind=row.kind,
        name=row.name,
        state=row.state,
        note=row.note,
        etag=row.etag,
        base=row.base,
        requested_by=row.requested_by,
        requested_at=iso(row.requested_at),
        decided_by=row.decided_by,
        decided_at=iso(row.decided_at),
        reason=row.reason,
    )
