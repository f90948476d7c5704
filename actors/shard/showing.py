"""Show users to callers. Those asked for in one turn of the loop are computed together.

The features of one user cost as much as those of thirty (:func:`whisperer.profiles.features.describe`), and where many
ask, many ask at once.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass

from actors.shard.payloads import Payloads
from whisperer.ids import TenantId, UserKey
from whisperer.shard import inspection
from whisperer.shard.machine import Shard
from whisperer.shard.views.user import UserView

MOST_A_TURN = 32
"""Shown at once, in some milliseconds; the others have their turn after everybody else."""


@dataclass(frozen=True, slots=True)
class _Asked:
    tenant: TenantId
    key: UserKey
    as_of: int | None
    with_events: bool
    shown: asyncio.Future[UserView | None]


class Showing:
    """Shows one shard's users. Use from its event loop."""

    def __init__(self, shard_id: int, shard: Shard, payloads: Payloads) -> None:
        self._id = shard_id
        self._shard = shard
        self._payloads = payloads
        self._waiting: list[_Asked] = []

    async def user(
        self, tenant: TenantId, key: UserKey, as_of: int | None, with_events: bool = True
    ) -> UserView | None:
        """Return a user as of a time (ms UTC), with the events behind the timeline that are in memory here."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._show)
        asked = _Asked(tenant, key, as_of, with_events, loop.create_future())
        self._waiting.append(asked)
        return await asked.shown

    def _show(self) -> None:
        turn, self._waiting = self._waiting[:MOST_A_TURN], self._waiting[MOST_A_TURN:]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._show)
        alike: defaultdict[tuple[TenantId, int | None], list[_Asked]] = defaultdict(list)
        for asked in turn:
            if not asked.shown.done():  # whoever asked may have gone
                alike[asked.tenant, asked.as_of].append(asked)
        for (tenant, as_of), of_tenant in alike.items():
            try:
                views = inspection.users(self._shard, tenant, [asked.key for asked in of_tenant], as_of)
                for asked, view in zip(of_tenant, views, strict=True):
                    if view is not None and asked.with_events:
                        self._add_recent(tenant, view)
            except Exception as error:
                for asked in of_tenant:
                    asked.shown.set_exception(error)
            else:
                for asked, view in zip(of_tenant, views, strict=True):
                    asked.shown.set_result(view)

    def _add_recent(self, tenant: TenantId, view: UserView) -> None:
        mine = [entry.reference for entry in view.timeline if entry.origin == self._id and entry.reference >= 0]
        found = dict(zip(mine, self._payloads.recent(tenant, mine), strict=True))
        view.recent = [found.get(entry.reference) if entry.origin == self._id else None for entry in view.timeline]
        view.shown_by = self._id
