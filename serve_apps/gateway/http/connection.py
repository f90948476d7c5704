"""Finds who is at the other end of a connection: the address that our own proxy saw, never one that a client claims.

HAProxy (:mod:`cluster.launch.front_door`) removes :data:`HEADER` from what clients send and adds its own, which
begins with a secret of the installation. A client that bypasses HAProxy cannot forge it, and has no address.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from cluster.launch.front_door import CLIENT_HEADER

HEADER = CLIENT_HEADER.lower().encode()


def client_address(headers: Mapping[bytes, bytes], secret: str) -> str | None:
    """Return the address, as IPv4 where it is one; None if our proxy does not vouch for it."""
    value = headers.get(HEADER)
    if value is None:
        return None
    vouched, _, address = value.decode("latin-1").partition(" ")
    return _canonical(address) if hmac.compare_digest(vouched.encode(), secret.encode()) else None


@lru_cache(maxsize=4_096)
def _canonical(address: str) -> str | None:
    try:
        found = ip_address(address)
    except ValueError:
        return None
    return str((found.ipv4_mapped if isinstance(found, IPv6Address) else None) or found)
