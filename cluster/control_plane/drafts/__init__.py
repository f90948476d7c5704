"""From draft to live: drafts, their reviews, the history of what went live, differences, and the way back.

The same for every kind of thing: :mod:`.kinds` has one entry each. What may go live is decided one floor below, in
:mod:`cluster.control_plane.approval`, which every way of publishing passes.
"""

from cluster.control_plane.approval import PENDING, Kind, ReviewState
from cluster.control_plane.drafts.documents import (
    DeletedDraft,
    DifferenceDocument,
    DraftDocument,
    ReviewDocument,
    ReviewedDocument,
    RevisionDocument,
)
from cluster.control_plane.drafts.kinds import KINDS, PUBLISHED

__all__ = [
    "KINDS",
    "PENDING",
    "PUBLISHED",
    "DeletedDraft",
    "DifferenceDocument",
    "DraftDocument",
    "Kind",
    "ReviewDocument",
    "ReviewState",
    "ReviewedDocument",
    "RevisionDocument",
]
