"""Makes tokens for a tenant's users, and finds whom a presented one speaks for.

A tenant's secrets are read from the control plane at most once in :data:`FRESH_S`, so a rotation takes effect within
that time on every replica; while the control plane is away, those read before go on. Tenants that a stranger makes up
are not looked up.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Container
from dataclasses import dataclass

from cluster.control_plane import ControlPlane
from cluster.control_plane.tenancy.user_secrets import UserSecrets
from whisperer.access.user_tokens import UserToken, new_user_token, read_user_token
from whisperer.errors import InvalidKeyError, NotFoundError, RequestError, UnavailableError
from whisperer.ids import TenantId

FRESH_S = 0.5
MAX_REMEMBERED = 1_000
"""Tenants whose secrets a replica remembers."""


@dataclass(slots=True)
class _Kept:
    secrets: UserSecrets
    read_at: float


class UserTokens:
    """Use from one event loop. ``tenants`` has the ids of all tenants; ``clock_s`` gives s UTC."""

    def __init__(
        self, plane: ControlPlane, tenants: Callable[[], Container[str]], clock_s: Callable[[], float] = time.time
    ) -> None:
        self._plane = plane
        self._tenants = tenants
        self._clock_s = clock_s
        self._kept: OrderedDict[TenantId, _Kept] = OrderedDict()
        self._reading: dict[TenantId, asyncio.Task[UserSecrets]] = {}

    async def make(self, tenant_id: TenantId, user_id: str, lifetime_s: int) -> tuple[str, int]:
        """Return a token for a user and when it expires (s UTC). Raises RequestError (`invalid_user_id`)."""
        secret = await asyncio.to_thread(self._plane.signing_user_secret, tenant_id)
        expires_at = int(self._clock_s()) + lifetime_s
        try:
            return new_user_token(tenant_id, user_id, expires_at, secret), expires_at
        except ValueError as error:
            raise RequestError(str(error), code="invalid_user_id") from None

    async def user_of(self, presented: str | None) -> UserToken:
        """Return the verified content of a token. Raises InvalidKeyError, and UnavailableError if nobody knows now."""
        token = read_user_token(presented or "")
        if token is not None and token.tenant_id in self._tenants():
            now = self._clock_s()
            secrets = await self._secrets(token.tenant_id)
            if token.is_good(secrets.verifying(int(now * 1000)), now):
                return token
        raise InvalidKeyError("this needs a token of the user that is still good: Authorization: Bearer ut_…")

    async def _secrets(self, tenant_id: TenantId) -> UserSecrets:
        kept = self._kept.get(tenant_id)
        if kept is not None and time.monotonic() - kept.read_at < FRESH_S:
            self._kept.move_to_end(tenant_id)
            return kept.secrets
        reading = self._reading.get(tenant_id)
        if reading is None:  # of many who ask at once, one reads
            reading = self._reading[tenant_id] = asyncio.ensure_future(self._read(tenant_id))
            reading.add_done_callback(lambda _: self._reading.pop(tenant_id, None))
        try:
            return await asyncio.shield(reading)
        except UnavailableError:
            if kept is None:
                raise
            return kept.secrets

    async def _read(self, tenant_id: TenantId) -> UserSecrets:
        try:
            found = await asyncio.to_thread(self._plane.user_secrets, tenant_id)
        except NotFoundError:
            found = UserSecrets()
        self._kept[tenant_id] = _Kept(found, time.monotonic())
        self._kept.move_to_end(tenant_id)
        while len(self._kept) > MAX_REMEMBERED:
            self._kept.popitem(last=False)
        return found
