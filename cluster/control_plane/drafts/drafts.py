"""Drafts and what becomes of them: written, deleted, taken live, compared; and the way back to an older version.

A draft's tag changes exactly when its content does. Each change is one transaction with its check of the tag, so of two
who write or publish on top of the same draft one succeeds and the other learns that it is too late.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from cluster.control_plane.approval import Kind, outdate
from cluster.control_plane.drafts.comparing import compare
from cluster.control_plane.drafts.documents import DeletedDraft, DifferenceDocument, DraftDocument, RevisionDocument
from cluster.control_plane.drafts.kind import DraftKind
from cluster.control_plane.drafts.kinds import KINDS, PUBLISHED
from cluster.control_plane.drafts.reviews import pending_review
from cluster.control_plane.etags import StaleError, check
from cluster.control_plane.models import RevisionRow
from cluster.control_plane.transactions import Transactions, find_tenant
from cluster.times import iso
from whisperer.errors import ConflictError, NotFoundError
from whisperer.ids import TenantId


class Drafts(Transactions):
    """Reads, writes, publishes and compares drafts of every kind."""

    def get_draft(self, tenant: str, kind: Kind, name: str) -> DraftDocument:
        """Return a draft. Raises NotFoundError (`draft_not_found`)."""
        with self._reading() as session:
            return _document(session, find_tenant(session, tenant).id, KINDS[kind], name)

    def put_draft(
        self,
        tenant: str,
        kind: Kind,
        name: str,
        body: Any,
        *,
        if_match: str | None = None,
        is_new: bool = False,
    ) -> DraftDocument:
        """Write a draft over the one there is, or with ``is_new`` only where there is none.

        Writing the same content again changes nothing. Raises what is wrong with the content, StaleError, and
        ConflictError (`too_many_drafts`, `too_many_campaigns`).
        """
        what = KINDS[kind]
        content = what.checked(name, body)
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            held = what.draft(session, owner.id, name)
            if is_new and held is not None:
                raise StaleError(f"the {kind} {name!r} has a draft already; read it and write on top of it")
            tag = what.tag(name, content)
            before = None if held is None else what.tag(name, held.content)
            check(if_match, before)
            if tag != before:
                outdate(session, owner.id, kind, name, tag)
                what.write(session, owner.id, name, content)
                session.flush()
            return _document(session, owner.id, what, name)

    def delete_draft(self, tenant: str, kind: Kind, name: str, *, if_match: str | None = None) -> DeletedDraft:
        """Delete a draft and end its review; what is live stays.

        Raises NotFoundError (`draft_not_found`) and StaleError.
        """
        what = KINDS[kind]
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            draft = what.draft(session, owner.id, name)
            if draft is None:
                raise _no_draft(what, name)
            check(if_match, what.tag(name, draft.content))
            what.drop(session, owner.id, name)
            outdate(session, owner.id, kind, name, None)
            return DeletedDraft(kind=kind, name=name)

    def publish_draft(self, tenant: str, kind: Kind, name: str, *, if_match: str | None = None) -> int:
        """Take a draft live as the next version, and return its number; the draft is gone then.

        Raises NotFoundError if there is no such thing, StaleError, what publishing the kind raises, and ConflictError
        (`nothing_to_publish`, `approval_required`).
        """
        what = PUBLISHED[kind]
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            draft = what.draft(session, owner.id, name)
            if draft is None:
                check(if_match, None)
                if not what.exists(session, owner.id, name):
                    raise what.not_found(name)
                raise ConflictError(f"the {kind} {name!r} has no draft; write one first", code="nothing_to_publish")
            check(if_match, what.tag(name, draft.content))
            return what.publish(session, owner.id, name, draft.content)

    def history(
        self, tenant: str, kind: Kind, name: str, *, before: int | None = None, limit: int = 100
    ) -> list[RevisionDocument]:
        """Return what went live, newest first, below version ``before``. Raises NotFoundError."""
        what = PUBLISHED[kind]
        with self._reading() as session:
            owner = find_tenant(session, tenant)
            if not what.exists(session, owner.id, name):
                raise what.not_found(name)
            live = what.live(session, owner.id, name)
            found = []
            for one in what.versions(session, owner.id, name, before, limit):
                revision = session.get(RevisionRow, (owner.id, kind, name, one.version))
                found.append(
                    RevisionDocument(
                        version=one.version,
                        at=iso(one.at),
                        by=None if revision is None else revision.by,
                        review=None if revision is None else revision.review_id,
                        rolled_back_to=None if revision is None else revision.rolled_back_to,
                        live=one.version == live,
                    )
                )
            return found

    def difference(self, tenant: str, kind: Kind, name: str, before: int | str, after: int | str) -> DifferenceDocument:
        """Return what differs between two versions, each a number, `draft` or `live`.

        Raises NotFoundError (`draft_not_found`, `version_not_found`, or that of the kind).
        """
        what = KINDS[kind]
        with self._reading() as session:
            owner = find_tenant(session, tenant)
            if not what.exists(session, owner.id, name):
                raise what.not_found(name)
            return compare(session, owner.id, what, name, before, after)

    def roll_back(self, tenant: str, kind: Kind, name: str, to: int, *, if_match: str | None = None) -> int:
        """Take the content of an older version live as a new one, and return its number; a draft stays.

        ``if_match`` is the tag of what is live. Raises NotFoundError, StaleError, and ConflictError
        (`nothing_to_roll_back`, `approval_required` where the older version was never approved).
        """
        with self._writing() as session:
            owner = find_tenant(session, tenant)
            return PUBLISHED[kind].roll_back(session, owner.id, name, to, if_match)


def _document(session: Session, tenant_id: TenantId, what: DraftKind, name: str) -> DraftDocument:
    draft = what.draft(session, tenant_id, name)
    if draft is None:
        raise _no_draft(what, name)
    review = pending_review(session, tenant_id, what.kind, name)
    return DraftDocument(
        kind=what.kind,
        name=name,
        etag=what.tag(name, draft.content),
        content=draft.content,
        live=what.live(session, tenant_id, name),
        created_at=iso(draft.created_at),
        changed_at=iso(draft.changed_at),
        changed_by=draft.changed_by,
        review=None if review is None else review.id,
        review_state=None if review is None else review.state,
    )


def _no_draft(what: DraftKind, name: str) -> NotFoundError:
    return NotFoundError(f"the {what.kind} {name[:80]!r} has no draft", code="draft_not_found")
