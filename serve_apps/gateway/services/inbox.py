"""Answers what callers may ask about one user's in-app inbox, and marks its messages.

The inbox is state of the user's shard; a mark is on its disk when it is answered. Ids lead to users as everywhere
(:mod:`serve_apps.gateway.services.users`), but for users themselves only userIds do: an anonymousId of the same text is
somebody else's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from actors.calls.shards import ShardCalls
from serve_apps.gateway.http.exchange import InvalidBodyError
from serve_apps.gateway.services.inbox_message import InboxMessage, InboxRead
from serve_apps.gateway.services.users import Users
from whisperer.errors import NotFoundError
from whisperer.ids import DecisionId, Partition, TenantId, UserKey, known_key
from whisperer.journeys.inbox import Mark
from whisperer.shard.inspection import keys_for
from whisperer.shard.views.inbox import InboxEntryView, InboxView

MAX_ID_CHARS = 64


class Inboxes:
    """Questions about inboxes, and marks. ``is_user``: the user asks, so the id is a userId."""

    def __init__(self, shards: ShardCalls, users: Users) -> None:
        self._shards = shards
        self._users = users

    async def show(self, tenant: TenantId, user_id: str, *, is_user: bool = False, known_tag: str = "") -> InboxView:
        """Return a user's inbox, without entries if ``known_tag`` is its tag. Raises NotFoundError."""
        return await self._led(tenant, user_id, partial(self._shards.inbox, known_tag=known_tag), is_user)

    async def mark(self, tenant: TenantId, user_id: str, id: str, mark: Mark, *, is_user: bool = False) -> InboxMessage:
        """Mark a message and return it. Raises NotFoundError."""
        return InboxMessage.of(await self._marked(tenant, user_id, id, mark, -1, is_user))

    async def click(
        self, tenant: TenantId, user_id: str, id: str, action: int, *, is_user: bool = False
    ) -> InboxMessage:
        """Record that an action of a message was chosen. Raises NotFoundError, and InvalidBodyError (`/action`)."""
        found = InboxMessage.of(await self._marked(tenant, user_id, id, Mark.CLICK, action, is_user))
        if action >= len(found.actions):  # then the shard recorded nothing
            raise InvalidBodyError("/action", f"the message has {len(found.actions)} actions, counted from 0")
        return found

    async def mark_all(self, tenant: TenantId, user_id: str, mark: Mark, *, is_user: bool = False) -> InboxRead:
        """Mark every message. Raises NotFoundError."""
        ask = partial(self._shards.mark_inbox, entry=DecisionId(""), mark=mark, action=-1)
        return InboxRead((await self._led(tenant, user_id, ask, is_user)).n_unread)

    async def _marked(
        self, tenant: TenantId, user_id: str, id: str, mark: Mark, action: int, is_user: bool
    ) -> InboxEntryView:
        if 0 < len(id) <= MAX_ID_CHARS:
            ask = partial(self._shards.mark_inbox, entry=DecisionId(id), mark=mark, action=action)
            for entry in (await self._led(tenant, user_id, ask, is_user)).entries or ():
                return entry
        raise NotFoundError(f"this inbox has no message {id[:80]!r}", code="message_not_found")

    async def _led(
        self,
        tenant: TenantId,
        user_id: str,
        ask: Callable[[TenantId, Partition, UserKey], Awaitable[InboxView | None]],
        is_user: bool,
    ) -> InboxView:
        return await self._users.led(tenant, user_id, [known_key(user_id)] if is_user else keys_for(user_id), ask)
