"""Define what users can be asked for by, and how a shard answers with the first of them.

Times are ms UTC, scores in [0, 1]. A field that is added gets a default: a shard of the release before does not have it
(:mod:`actors.calls.plain`).
"""

from __future__ import annotations

import msgspec

from whisperer.ids import Partition, TenantId, UserKey

BY_ID = "user_id"
"""The order of the users' own ids."""

NUMBERS = {
    "last_seen": "last_seen",
    "first_seen": "first_seen",
    "events": "n_events",
    "score": "score.churn",
    "engagement": "score.engagement",
}
"""What users are sorted by and bounded in -> the column that it is held in."""

TIMES = ("last_seen", "first_seen")
COMPARISONS = {"gt": "more than", "gte": "at least", "lt": "less than", "lte": "at most"}
MOST_TRAITS_BYTES = 2 << 20
"""Bytes of traits in one shard's answer: it ends early, after at least one user, where there are more."""


class Bound(msgspec.Struct):
    """Keep users whose number (of :data:`NUMBERS`) compares so (of :data:`COMPARISONS`); who has none does not pass."""

    number: str
    comparison: str
    value: float


class TraitSought(msgspec.Struct):
    """Keep users with a trait that is equal to a value or, with ``is_prefix``, a string that begins with it."""

    trait: str
    value: str
    is_prefix: bool = False


class UserQuery(msgspec.Struct, kw_only=True):
    """Ask for the first users after a place.

    Attributes
    ----------
    segments : names; users are in all of them
    key_prefix : of the user key, with its kind: "u:" alone keeps those who are known
    sort : one of :data:`NUMBERS`, or :data:`BY_ID`; users without the number come last either way
    after : number and key of the last user of the page before
    traits : names to show; None shows all
    """

    tenant: TenantId
    bounds: list[Bound] = []
    sought: list[TraitSought] = []
    segments: list[str] = []
    key_prefix: str = ""
    sort: str = BY_ID
    descends: bool = False
    after: tuple[int, UserKey] | None = None
    limit: int = 100
    traits: list[str] | None = []
    shows_segments: bool = False


class ListedUser(msgspec.Struct, kw_only=True):
    """Show one user in brief; ``number`` is that of the order, as it was when their shard came to them."""

    key: UserKey
    number: int
    first_seen: int | None
    last_seen: int | None
    events: int
    score: float | None
    engagement: float | None
    time_zone: str | None
    locale: str | None
    segments: list[str] = []
    traits: dict[str, bytes] = {}
    """Each as the client wrote it."""


class ListedUsers(msgspec.Struct, kw_only=True):
    """Hold the first users of some partitions, in order.

    ``end`` is the place up to which these are all there are; None if nobody comes after them. ``unknown`` are segments
    that do not exist here.
    """

    users: list[ListedUser] = []
    end: tuple[int, UserKey] | None = None
    unknown: list[str] = []


class ListingCall(msgspec.Struct, kw_only=True):
    """Ask a shard about those partitions that are at home there."""

    query: UserQuery
    partitions: list[Partition]
