"""What a kind of thing says of itself, so that drafts, reviews, history and rollback work for it.

:class:`DraftKind` is written as a draft, submitted and compared; its draft is a row of the table of drafts, unless it
says otherwise. :class:`PublishedKind` also goes live from its draft, and back. All methods run inside the caller's
transaction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.control_plane.approval import Kind, called, content_tag
from cluster.control_plane.audit.acting import acting
from cluster.control_plane.models import DraftRow
from cluster.control_plane.transactions import now_ms
from whisperer.errors import ConflictError, NotFoundError
from whisperer.ids import TenantId

MOST_DRAFTS = 1_000
"""Of a tenant, not counting campaigns, which have a limit of their own."""


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody is writing. Times in ms UTC; ``changed_by`` is None where it is not known."""

    content: dict[str, Any]
    created_at: int
    changed_at: int
    changed_by: str | None


class DraftKind(ABC):
    """A kind whose content is looked at before it counts."""

    kind: Kind
    plural: str
    """The first segment of its paths."""

    @abstractmethod
    def checked(self, name: str, body: Any) -> dict[str, Any]:
        """Return the content that a caller wrote, in the form in which it is stored. Raises what is wrong with it."""

    @abstractmethod
    def live(self, session: Session, tenant_id: TenantId, name: str) -> int | None:
        """Return the number of the version that counts now; None if there is none."""

    @abstractmethod
    def content(self, session: Session, tenant_id: TenantId, name: str, version: int) -> dict[str, Any] | None:
        """Return the content of a version that is or was live; None if there is no such version."""

    def compared(
        self, session: Session, tenant_id: TenantId, name: str, content: dict[str, Any], version: int | None
    ) -> dict[str, Any]:
        """Return what people compare: of a version, or of a draft (None)."""
        return content

    def exists(self, session: Session, tenant_id: TenantId, name: str) -> bool:
        """Return whether there is such a thing, live or not."""
        return self.live(session, tenant_id, name) is not None or self.draft(session, tenant_id, name) is not None

    def draft(self, session: Session, tenant_id: TenantId, name: str) -> Draft | None:
        """Return the draft, if there is one."""
        row = session.get(DraftRow, (tenant_id, self.kind, name))
        return None if row is None else Draft(row.body, row.created_at, row.changed_at, row.changed_by)

    def write(self, session: Session, tenant_id: TenantId, name: str, content: dict[str, Any]) -> None:
        """Write the draft, which is known to differ from the one there is. Raises ConflictError (`too_many_drafts`)."""
        row = session.get(DraftRow, (tenant_id, self.kind, name))
        now, by = now_ms(), called(acting())
        if row is not None:
            row.body, row.changed_at, row.changed_by = content, now, by
            return
        count = select(func.count()).select_from(DraftRow).where(DraftRow.tenant_id == tenant_id)
        if session.scalars(count).one() >= MOST_DRAFTS:
            raise ConflictError(f"there are {MOST_DRAFTS} drafts: publish or delete one", code="too_many_drafts")
        session.add(
            DraftRow(
                tenant_id=tenant_id,
                kind=self.kind,
                name=name,
                body=content,
                created_at=now,
                changed_at=now,
                changed_by=by,
            )
        )

    def drop(self, session: Session, tenant_id: TenantId, name: str) -> None:
        """Delete the draft."""
        session.delete(session.get_one(DraftRow, (tenant_id, self.kind, name)))

    def tag(self, name: str, content: dict[str, Any]) -> str:
        """Return the entity tag of content."""
        return content_tag(self.kind, name, content)

    def not_found(self, name: str) -> NotFoundError:
        return NotFoundError(f"there is no {self.kind} {name[:80]!r}", code=f"{self.kind}_not_found")


@dataclass(frozen=True, slots=True)
class PublishedVersion:
    """One entry of the history: a version, and when it went live (ms UTC)."""

    version: int
    at: int


class PublishedKind(DraftKind):
    """A kind of which a version goes live from its draft, and of which older ones come back as new versions."""

    @abstractmethod
    def versions(
        self, session: Session, tenant_id: TenantId, name: str, before: int | None, limit: int
    ) -> list[PublishedVersion]:
        """Return versions that are or were live, newest first, below ``before``."""

    @abstractmethod
    def publish(self, session: Session, tenant_id: TenantId, name: str, content: dict[str, Any]) -> int:
        """Take the draft's content live, past the gate, and return its version."""

    @abstractmethod
    def roll_back(self, session: Session, tenant_id: TenantId, name: str, to: int, if_match: str | None) -> int:
        """Take the content of an older version live as a new one, and return its number."""


def published_versions(
    session: Session, row: Any, tenant_id: TenantId, name: str, before: int | None, limit: int
) -> list[PublishedVersion]:
    """Return a page of the history from a table with ``version`` and ``published_at``."""
    query = select(row.version, row.published_at).where(
        row.tenant_id == tenant_id, row.name == name, row.published_at.is_not(None)
    )
    if before is not None:
        query = query.where(row.version < before)
    found = session.execute(query.order_by(row.version.desc()).limit(limit))
    return [PublishedVersion(version, at) for version, at in found]
