"""What is known of an API key: by whom it can be used, and what may be shown of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from ipaddress import ip_address, ip_network

from whisperer.access.permissions import OF_SECRET_KEYS, Permissions
from whisperer.ids import TenantId


class KeyState(StrEnum):
    """Whether a key works, and if not, why."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class NewKey:
    """A new key, at the only moment its whole text can be seen."""

    id: str
    key: str = field(repr=False)
    kind: str
    tenant_id: TenantId


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """What may be shown of a key later: ``shown`` is ``wk_…last4``. Times are ms UTC.

    Attributes
    ----------
    revoked_at, expires_at, last_used_at : None: not, never, not yet
    scopes : permissions; None for all that keys of this kind have
    addresses : networks (CIDR) from which it may be used; None for any
    replaced_by : id of the key that it was rotated to
    """

    id: str
    tenant_id: TenantId
    tenant_name: str
    kind: str
    shown: str
    label: str
    created_at: int
    revoked_at: int | None
    expires_at: int | None = None
    last_used_at: int | None = None
    scopes: list[str] | None = None
    addresses: list[str] | None = None
    replaced_by: str | None = None

    def state(self, now: int) -> KeyState:
        """Return whether it works at ``now`` (ms UTC)."""
        if self.revoked_at is not None:
            return KeyState.REVOKED
        return KeyState.EXPIRED if self.expires_at is not None and self.expires_at <= now else KeyState.ACTIVE


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """Which tenant a presented key acts for, and with which rights.

    Attributes
    ----------
    kind : "write" or "secret"
    expires_at : ms UTC; None: never
    networks : from which it may be used; empty: from anywhere
    """

    id: str
    tenant_id: TenantId
    tenant_name: str
    kind: str
    label: str = ""
    permissions: Permissions = OF_SECRET_KEYS
    expires_at: int | None = None
    networks: tuple[str, ...] = ()

    def is_usable(self, now_ms: int, address: str | None) -> bool:
        """Return whether it may be used now, by a client at ``address``; None: nobody knows where, so not where that
        matters.
        """
        if self.expires_at is not None and now_ms >= self.expires_at:
            return False
        if not self.networks:
            return True
        return address is not None and any(_is_in(address, network) for network in self.networks)


@lru_cache(maxsize=4_096)
def _is_in(address: str, network: str) -> bool:
    return ip_address(address) in ip_network(network)
