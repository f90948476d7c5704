"""Gathers what an export is made of before its process begins: users from the shards, entries of the audit log.

Of the other kinds it only sees to it that the warehouse has everything acknowledged so far. Rows are encoded and
written in threads; at most a page of them is in memory.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from actors.calls.shards import ShardCalls
from actors.jobs.export_runs import Gather, Gathering
from cluster.control_plane import AuditEntry, AuditQuery, ControlPlane
from serve_apps.gateway.services.export_filters import Narrowed
from serve_apps.gateway.services.user_list import UserList, row_of
from whisperer.errors import OverloadError, UnavailableError
from whisperer.ids import TenantId
from whisperer.shard.views.listing import UserQuery

PATIENCE_S = 120.0
"""How long shards may be away, or busy, in a row."""
FLUSH_TIMEOUT_S = 120.0


class Gatherer:
    """Makes what gathers an export's rows."""

    def __init__(self, shards: ShardCalls, users: UserList, plane: ControlPlane) -> None:
        self._shards = shards
        self._users = users
        self._plane = plane

    def of(self, tenant: TenantId, narrowed: Narrowed) -> Gather:
        """Return what gathers for an export."""
        if narrowed.users is not None:
            return partial(self._list_users, narrowed.users)
        if narrowed.audit is not None:
            return partial(self._read_audit, tenant, narrowed.audit)
        return self._flush

    async def _flush(self, _: Gathering) -> None:
        """Have every shard write what it holds to the warehouse. Raises UnavailableError if one stays away."""

        async def attempt() -> None:
            shards = self._shards.places.current.shards
            await asyncio.gather(*(self._shards.call(shard, "flush", timeout_s=FLUSH_TIMEOUT_S) for shard in shards))

        await self._shards.until(attempt, PATIENCE_S)

    async def _list_users(self, query: UserQuery, gathering: Gathering) -> None:
        n_users = None if _is_narrowed(query) else await self._n_users(query.tenant)
        while True:
            users, end = await self._page(query)
            await asyncio.to_thread(gathering.spool.add, map(row_of, users))
            gathering.check()
            if n_users:
                gathering.share = min(1.0, gathering.spool.n_rows / n_users)
            if end is None:
                return
            query.after = end

    async def _page(self, query: UserQuery) -> Any:
        """Return a page of users, asking again while shards are away or busy with others."""
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while True:
            try:
                return await self._users.found(query)
            except (OverloadError, UnavailableError) as error:
                if asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(min(5.0, error.retry_after_s or 1.0))

    async def _n_users(self, tenant: TenantId) -> int | None:
        """Return how many users the tenant has, for the progress alone; None if a shard does not say."""
        shards = self._shards.places.current.shards
        try:
            held = await asyncio.gather(*(self._shards.holdings(shard) for shard in shards))
        except UnavailableError:
            return None
        return sum(sum(one[tenant].users) for one in held if tenant in one)

    async def _read_audit(self, tenant: TenantId, query: AuditQuery, gathering: Gathering) -> None:
        newest = await asyncio.to_thread(lambda: self._plane.audit_entries(tenant, query, limit=1))
        after, last = 0, newest[0].serial if newest else 0
        while after < last:
            page = await asyncio.to_thread(partial(self._plane.audit_page, tenant, query, after=after))
            page = [entry for entry in page if entry.serial <= last]  # what is entered meanwhile is not in it
            await asyncio.to_thread(gathering.spool.add, map(AuditEntry.row, page))
            gathering.check()
            after = page[-1].serial if page else last
            gathering.share = after / last


def _is_narrowed(query: UserQuery) -> bool:
    return bool(query.bounds or query.sought or query.segments or query.key_prefix)
