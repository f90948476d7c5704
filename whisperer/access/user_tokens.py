"""Makes and reads the tokens with which a user's browser speaks for that user, and for nobody else.

A token is four parts joined by dots, none of which contains one::

    ut_<tenant id>.<base64url of the user id>.<expiry, s UTC>.<base64url of the HMAC-SHA256 of all before it>

The HMAC's key is a secret of the tenant that never leaves the product. Everything that a token says is under the HMAC,
the user id as exactly its bytes: no other id, longer or shorter or with dots in it, has the same text.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable
from dataclasses import dataclass

from whisperer.ids import TenantId

PREFIX = "ut_"
MAX_USER_ID_BYTES = 4_096
MAX_CHARACTERS = 6_000
"""Of a token, with room for the longest id."""
MAX_LIFETIME_S = 30 * 86_400
_FORM = re.compile(
    r"ut_([A-Za-z0-9_]{1,32})\.([A-Za-z0-9_-]{2,5500})\.([1-9][0-9]{0,11})\.([A-Za-z0-9_-]{43})", re.ASCII
)
_DOMAIN = b"user-whisperer user token 1\x00"
"""Keeps what is signed here from being read as anything else that the secret may sign one day."""


@dataclass(frozen=True, slots=True)
class UserToken:
    """What a token says, which nobody has verified yet.

    Attributes
    ----------
    expires_at : s UTC
    signed : the part under the HMAC
    """

    tenant_id: TenantId
    user_id: str
    expires_at: int
    signed: str
    mac: str

    def is_good(self, secrets: Iterable[bytes], now_s: float) -> bool:
        """Return whether one of the tenant's secrets signed it and it has not expired, in constant time a secret."""
        signed = any([hmac.compare_digest(self.mac, _mac(secret, self.signed)) for secret in secrets])
        return signed and now_s < self.expires_at


def new_user_token(tenant_id: TenantId, user_id: str, expires_at: int, secret: bytes) -> str:
    """Return a token for a user (``expires_at``: s UTC). Raises ValueError for an id that is empty or too long."""
    told = user_id.encode("utf-8", "surrogatepass")
    if not 0 < len(told) <= MAX_USER_ID_BYTES:
        raise ValueError(f"a user id has 1 to {MAX_USER_ID_BYTES} bytes")
    signed = f"{PREFIX}{tenant_id}.{_encoded(told)}.{expires_at}"
    return f"{signed}.{_mac(secret, signed)}"


def read_user_token(text: str) -> UserToken | None:
    """Return what a text says, or None if it has not the form of a token."""
    if len(text) > MAX_CHARACTERS or (found := _FORM.fullmatch(text)) is None:
        return None
    tenant_id, user, expires_at, mac = found.groups()
    try:
        told = base64.b64decode(user + "=" * (-len(user) % 4), altchars=b"-_", validate=True)
        user_id = told.decode("utf-8", "surrogatepass")
    except (binascii.Error, UnicodeDecodeError):
        return None
    if _encoded(told) != user:  # one id has one spelling
        return None
    return UserToken(TenantId(tenant_id), user_id, int(expires_at), text.rpartition(".")[0], mac)


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _mac(secret: bytes, signed: str) -> str:
    return _encoded(hmac.new(secret, _DOMAIN + signed.encode(), hashlib.sha256).digest())
