"""Makes JSON Web Tokens by hand, also ones that nobody should make."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt

from cluster.control_plane import ControlPlane
from cluster.control_plane.identity.grants import Granted
from tests.support.gateway_world import World

ISSUER = "user-whisperer"


def granted(world: World, tenant: str, role: str = "admin") -> Granted:
    """Return an operator's tokens for a tenant."""
    return world.plane.grant_to_operator(tenant, role, "a test", ISSUER)


def parts_of(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the header and the claims of a token, unverified."""
    header, claims, _ = token.split(".")
    return tuple(json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, claims))  # type: ignore[return-value]


def part(value: Any) -> str:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def signed(plane: ControlPlane, header: Any, claims: Any, key: Any = None) -> str:
    """Return a token over any header and claims (JSON values, or bytes as they are), signed by our own newest key, or
    by another."""
    _, algorithm, ours = plane._signer()
    if key is not None:
        algorithm = "RS256" if hasattr(key, "key_size") else "EdDSA"
    over = f"{part(header)}.{part(claims)}"
    signature = jwt.get_algorithm_by_name(algorithm).sign(over.encode(), key or ours)
    return f"{over}.{part(signature)}"


def by_secret(header: Any, claims: Any, secret: bytes) -> str:
    """Return a token signed by HMAC."""
    over = f"{part(header)}.{part(claims)}"
    return f"{over}.{part(hmac.new(secret, over.encode(), hashlib.sha256).digest())}"


def now_s() -> int:
    return int(time.time())
