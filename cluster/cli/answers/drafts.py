"""What commands read of the documents of drafts, reviews, history and differences; docs/publishing.md explains them."""

from __future__ import annotations

from typing import Any

import msgspec


class Draft(msgspec.Struct):
    name: str
    content: dict[str, Any]
    live: int | None
    changed_at: str | None
    changed_by: str | None
    review: str | None
    review_state: str | None


class Revision(msgspec.Struct):
    version: int
    at: str | None
    by: str | None
    review: str | None
    rolled_back_to: int | None
    live: bool


class Change(msgspec.Struct):
    pointer: str
    op: str
    before: Any = msgspec.UNSET
    after: Any = msgspec.UNSET
    lines: list[str] | msgspec.UnsetType = msgspec.UNSET


class Difference(msgspec.Struct):
    kind: str
    name: str
    before: int | str | None = msgspec.field(name="from")
    after: int | str | None = msgspec.field(name="to")
    changes: list[Change]
    truncated: bool


class Review(msgspec.Struct):
    id: str
    kind: str
    name: str
    state: str
    note: str
    requested_by: str
    requested_at: str | None
    decided_by: str | None
    decided_at: str | None
    reason: str | None


class Reviewed(Review):
    diff: Difference


class Published(msgspec.Struct):
    """The version that went live."""

    name: str
    version: int
