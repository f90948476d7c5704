"""Makes and reads the tokens of download links: whoever has one may fetch one file for a while, without a key.

A token is three parts joined by dots::

    dl_<tenant id>.<expiry, s UTC>.<base64url of an HMAC-SHA256>

The HMAC covers the tenant, the expiry and the id of what is fetched, under a key that is derived from the
installation's secret. So a token opens nothing else, for nobody else, and no longer.

    missing, altered, or of something else   404, like an export that is not there
    expired                                  403 `link_expired`
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re

from whisperer.errors import ForbiddenError, NotFoundError
from whisperer.ids import TenantId

PREFIX = "dl_"
LIFETIME_S = 3_600
MAX_CHARACTERS = 200
_FORM = re.compile(r"dl_([A-Za-z0-9_]{1,64})\.([1-9][0-9]{0,11})\.([A-Za-z0-9_-]{43})", re.ASCII)


class DownloadLinks:
    """Signs and reads tokens with the installation's secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.blake2b(secret, digest_size=32, person=b"download-links").digest()

    def signed(self, tenant_id: TenantId, export_id: str, expires_at: int) -> str:
        """Return a token for an export's file (``expires_at``: s UTC)."""
        return f"{PREFIX}{tenant_id}.{expires_at}.{self._mac(tenant_id, export_id, expires_at)}"

    def opened(self, token: str, export_id: str, now_s: float) -> TenantId:
        """Return whose export a token opens. Raises NotFoundError (`export_not_found`), ForbiddenError
        (`link_expired`)."""
        found = _FORM.fullmatch(token) if len(token) <= MAX_CHARACTERS else None
        if found is None:
            raise not_found(export_id)
        tenant_id, expires_at = TenantId(found[1]), int(found[2])
        if not hmac.compare_digest(found[3], self._mac(tenant_id, export_id, expires_at)):
            raise not_found(export_id)
        if now_s >= expires_at:
            raise ForbiddenError(
                "this link has expired: GET /v1/exports/{export_id} has a new one", code="link_expired"
            )
        return tenant_id

    def _mac(self, tenant_id: TenantId, export_id: str, expires_at: int) -> str:
        told = "\x00".join((tenant_id, str(expires_at), export_id)).encode("utf-8", "surrogatepass")
        digest = hmac.new(self._key, told, hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def not_found(export_id: str) -> NotFoundError:
    """Return the refusal of an export that is not there, or not the caller's."""
    return NotFoundError(f"there is no export {export_id[:80]!r}", code="export_not_found")
