"""Compares versions of one thing: two that are or were live, its draft, what was submitted, or nothing."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy.orm import Session

from cluster.control_plane.drafts.differences import changes
from cluster.control_plane.drafts.documents import DifferenceDocument
from cluster.control_plane.drafts.kind import DraftKind
from whisperer.errors import NotFoundError
from whisperer.ids import TenantId

DRAFT, LIVE = "draft", "live"


def compare(
    session: Session,
    tenant_id: TenantId,
    what: DraftKind,
    name: str,
    before: int | str | None,
    after: int | str | dict[str, Any] | None,
) -> DifferenceDocument:
    """Return what differs between two versions: by number, `draft`, `live`, or None for nothing; or what was submitted.

    Raises NotFoundError (`version_not_found`, `draft_not_found`). Where nothing is live, `live` is nothing.
    """
    old, old_content = _content(session, tenant_id, what, name, before)
    new, new_content = _content(session, tenant_id, what, name, after)
    found, is_truncated = changes(old_content, new_content)
    return DifferenceDocument(kind=what.kind, name=name, before=old, after=new, changes=found, truncated=is_truncated)


def _content(
    session: Session, tenant_id: TenantId, what: DraftKind, name: str, which: int | str | dict[str, Any] | None
) -> tuple[int | str | None, Any]:
    """Return what a version is called in the answer, and what of it is compared."""
    if isinstance(which, dict):
        return "review", what.compared(session, tenant_id, name, which, None)
    if which == DRAFT:
        draft = what.draft(session, tenant_id, name)
        if draft is None:
            raise NotFoundError(f"the {what.kind} {name[:80]!r} has no draft", code="draft_not_found")
        return DRAFT, what.compared(session, tenant_id, name, draft.content, None)
    version = what.live(session, tenant_id, name) if which == LIVE else which
    if version is None:
        return None, msgspec.UNSET
    assert isinstance(version, int)
    content = what.content(session, tenant_id, name, version)
    if content is None:
        raise NotFoundError(f"no version {version} of {name[:80]!r} was ever live", code="version_not_found")
    return version, what.compared(session, tenant_id, name, content, version)
