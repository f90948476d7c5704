"""Documents of drafts, reviews, history and differences. Times are ISO 8601; field order is the order of the JSON."""

from __future__ import annotations

from typing import Any

import msgspec

from cluster.control_plane.drafts.differences import Change


class DraftDocument(msgspec.Struct, kw_only=True):
    """A draft; ``content`` can be sent back as it is. ``live``: the version that counts meanwhile, or null.

    ``review`` and ``review_state`` are those of exactly this content, if it was submitted.
    """

    kind: str
    name: str
    etag: str
    content: dict[str, Any]
    live: int | None
    created_at: str | None
    changed_at: str | None
    changed_by: str | None
    review: str | None
    review_state: str | None


class DeletedDraft(msgspec.Struct, kw_only=True):
    kind: str
    name: str
    deleted: bool = True


class RevisionDocument(msgspec.Struct, kw_only=True):
    """A version that went live.

    ``by`` is null for one that is older than this record, ``review`` for one that nobody had to approve.
    """

    version: int
    at: str | None
    by: str | None
    review: str | None
    rolled_back_to: int | None
    live: bool


class DifferenceDocument(msgspec.Struct, kw_only=True):
    """What differs between two versions, given by number, `draft`, `review`, or null for nothing at all."""

    kind: str
    name: str
    before: int | str | None = msgspec.field(name="from")
    after: int | str | None = msgspec.field(name="to")
    changes: list[Change]
    truncated: bool


class ReviewDocument(msgspec.Struct, kw_only=True):
    """A review. ``etag`` is the submitted draft's, ``base`` the version that was live then."""

    id: str
    kind: str
    name: str
    state: str
    note: str
    etag: str
    base: int | None
    requested_by: str
    requested_at: str | None
    decided_by: str | None
    decided_at: str | None
    reason: str | None


class ReviewedDocument(ReviewDocument, kw_only=True):
    """A review with what was submitted, and how that differs from what is live, or was when the review ended."""

    content: dict[str, Any]
    diff: DifferenceDocument
