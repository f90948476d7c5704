"""The secrets that sign the tokens of a tenant's users, each environment with its own.

A secret is made when the first token is. After a rotation the one before still verifies for a while, so that pages that
are open go on; it signs nothing any more. Secrets never leave the product: tokens are made by it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from cluster.control_plane.models import TenantSettingsRow
from cluster.control_plane.tenancy.tenant_settings import row_of
from cluster.control_plane.transactions import Transactions, find_tenant, locked_tenant, now_ms
from whisperer.errors import RequestError
from whisperer.vocabulary.units import DAY_MS

MAX_OVERLAP_MS = 30 * DAY_MS


@dataclass(frozen=True, slots=True)
class UserSecrets:
    """``current`` signs; it and, until ``previous_until`` (ms UTC), ``previous`` verify. None: there is none."""

    current: bytes | None = field(default=None, repr=False)
    previous: bytes | None = field(default=None, repr=False)
    previous_until: int | None = None

    def verifying(self, now: int) -> list[bytes]:
        """Return the secrets whose tokens are good at ``now`` (ms UTC)."""
        good = [] if self.current is None else [self.current]
        if self.previous is not None and self.previous_until is not None and now < self.previous_until:
            good.append(self.previous)
        return good


class UsersSecrets(Transactions):
    """Reads, makes and rotates the secrets of tenants' users."""

    def user_secrets(self, tenant: str) -> UserSecrets:
        """Return what verifies tokens. Raises NotFoundError (`tenant_not_found`)."""
        with self._reading() as session:
            row = session.get(TenantSettingsRow, find_tenant(session, tenant).id)
            return UserSecrets() if row is None else _secrets(row)

    def signing_user_secret(self, tenant: str) -> bytes:
        """Return what signs tokens, made now if there is none yet. Raises NotFoundError (`tenant_not_found`)."""
        found = self.user_secrets(tenant).current
        if found is not None:
            return found
        with self._writing() as session:
            row = row_of(session, locked_tenant(session, tenant).id)
            if row.user_secret is None:
                row.user_secret = secrets.token_hex(32)
            return bytes.fromhex(row.user_secret)

    def rotate_user_secret(self, tenant: str, overlap_ms: int) -> UserSecrets:
        """Make a new secret; tokens of the one before end after ``overlap_ms`` (at most 30 days; 0: now), those of an
        earlier one now.

        Raises RequestError (`invalid_overlap`) and NotFoundError (`tenant_not_found`).
        """
        if not 0 <= overlap_ms <= MAX_OVERLAP_MS:
            raise RequestError(f"an overlap is 0 to {MAX_OVERLAP_MS // DAY_MS} days", code="invalid_overlap")
        with self._writing() as session:
            row = row_of(session, locked_tenant(session, tenant).id)
            row.previous_user_secret = row.user_secret if overlap_ms else None
            row.previous_user_until = now_ms() + overlap_ms if overlap_ms and row.user_secret is not None else None
            row.user_secret = secrets.token_hex(32)
            session.flush()
            return _secrets(row)


def _secrets(row: TenantSettingsRow) -> UserSecrets:
    def read(stored: str | None) -> bytes | None:
        return None if stored is None else bytes.fromhex(stored)

    return UserSecrets(read(row.user_secret), read(row.previous_user_secret), row.previous_user_until)
