"""Lists a tenant's users over all shards, a page at a time.

Each shard gives the first users of its own (:mod:`whisperer.shard.listing`); here they are put into one order and cut
to a page. Guarantees: a user who does not change while pages are fetched is on exactly one of them, or on none if they
do not pass; what one replica does at once is bounded, tenants in turn.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from actors.calls.shards import ShardCalls
from actors.fair_queue import RETRY_AFTER_S, FairQueue
from cluster.times import iso
from serve_apps.gateway.services.user_cursor import Cursors
from serve_apps.gateway.services.user_query import Asked
from whisperer.errors import NotFoundError, OverloadError
from whisperer.ids import UserKey, bare_id, is_anonymous
from whisperer.profiles.key_order import Place, in_order
from whisperer.shard.views.listing import BY_ID, ListedUser, ListedUsers, UserQuery

AT_ONCE, TENANT_AT_ONCE, MOST_OPEN, TENANT_OPEN = 8, 2, 64, 8
"""Lists that a replica makes at once, in total and for one tenant; made or waiting, in total and of one tenant."""
PATIENCE_S, TIMEOUT_S = 5.0, 20.0
"""How long a list waits for its turn, and how long the shards have."""


class UserPage(msgspec.Struct):
    """One page of users, with the fields that were asked for; ``next_cursor`` is None at the end."""

    data: list[dict[str, Any]]
    next_cursor: str | None


class UserList:
    """Makes pages of users. ``secret`` seals cursors."""

    def __init__(self, shards: ShardCalls, secret: bytes) -> None:
        self._shards = shards
        self._cursors = Cursors(secret)
        self._queue = FairQueue(
            AT_ONCE, TENANT_AT_ONCE, MOST_OPEN, TENANT_OPEN, what="lists of users", code="too_many_lists"
        )

    async def page(self, asked: Asked, cursor: str | None) -> UserPage:
        """Return the users after ``cursor``, or the first ones.

        Raises RequestError (`invalid_cursor`), NotFoundError (`segment_not_found`), TooManyError (429), OverloadError
        and UnavailableError (503).
        """
        query = asked.query
        if cursor is not None:
            query.after = self._cursors.opened(query, cursor)
        shown, end = await self.found(query)
        return UserPage(
            [document(user, asked.fields) for user in shown],
            None if end is None else self._cursors.sealed(query, end),
        )

    async def found(self, query: UserQuery) -> tuple[list[ListedUser], Place | None]:
        """Return the first users after ``query.after``, and the place where the next page goes on, None at the end.

        Raises NotFoundError (`segment_not_found`), TooManyError (429), OverloadError and UnavailableError (503).
        """
        turn = self._queue.join(query.tenant)
        try:
            async with asyncio.timeout(PATIENCE_S):
                await turn.granted()
        except TimeoutError:
            turn.leave()
            message = f"no turn within {PATIENCE_S:g} s: others list users, too"
            raise OverloadError(message, retry_after_s=RETRY_AFTER_S) from None
        except BaseException:
            turn.leave()
            raise
        try:
            found = await self._shards.list_users(query, timeout_s=TIMEOUT_S)
        finally:
            turn.leave()
        for unknown in (name for one in found for name in one.unknown):
            message = f"there is no segment {unknown[:80]!r}; GET /v1/segments names them"
            raise NotFoundError(message, code="segment_not_found")
        return merged(query, found)


def merged(query: UserQuery, found: list[ListedUsers]) -> tuple[list[ListedUser], Place | None]:
    """Return the first users of all shards, and the place where the next page goes on, None if there is none.

    Beyond the place where a shard stopped, nobody is shown: it may have others who come first.
    """
    users: list[tuple[ListedUser | None, int, UserKey]] = [
        (user, user.number, user.key) for one in found for user in one.users
    ]
    ends: list[tuple[ListedUser | None, int, UserKey]] = [(None, *one.end) for one in found if one.end is not None]
    shown: list[ListedUser] = []
    last: Place | None = None
    sign = -1 if query.descends and query.sort == BY_ID else 1
    for user, number, key in in_order([*users, *ends], sign):  # of the same place, the user comes before the end
        if user is None:
            return shown, (number, key)
        if len(shown) == query.limit:
            return shown, last
        shown.append(user)
        last = number, key
    return shown, None


def row_of(user: ListedUser) -> dict[str, Any]:
    """Return all that is told of one user, with times in ms UTC."""
    known = not is_anonymous(user.key)
    return {
        "user_id": bare_id(user.key) if known else None,
        "anonymous_id": None if known else bare_id(user.key),
        "first_seen": user.first_seen,
        "last_seen": user.last_seen,
        "events": user.events,
        "score": user.score,
        "engagement": user.engagement,
        "segments": user.segments,
        "traits": {name: msgspec.Raw(text) for name, text in user.traits.items()},
        "time_zone": user.time_zone,
        "locale": user.locale,
    }


def document(user: ListedUser, fields: tuple[str, ...]) -> dict[str, Any]:
    """Return what callers see of one user."""
    everything = row_of(user) | {"first_seen": iso(user.first_seen), "last_seen": iso(user.last_seen)}
    named = dict.fromkeys("traits" if field.startswith("traits.") else field for field in fields)
    return {name: everything[name] for name in named}
