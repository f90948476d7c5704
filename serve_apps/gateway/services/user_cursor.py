"""Makes the cursors of lists of users: the place where a page ended, sealed for the tenant and the question.

A cursor says where to go on, not how many were shown: who comes and goes meanwhile shifts nothing. One that was
altered, or that belongs to another tenant, other filters or another order, is refused. It opens on every replica, and
after a restart; it does not expire.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

import msgspec

from whisperer.errors import RequestError
from whisperer.ids import UserKey
from whisperer.profiles.key_order import Place
from whisperer.shard.views.listing import UserQuery

MAX_CHARACTERS = 4_000
_MAC_BYTES = 16


class _Sealed(msgspec.Struct, array_like=True):
    number: int
    key: bytes


_decode = msgspec.msgpack.Decoder(_Sealed).decode


class Cursors:
    """Seals and opens cursors with the installation's secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.blake2b(secret, digest_size=32, person=b"users-cursor").digest()

    def sealed(self, query: UserQuery, place: Place) -> str:
        """Return the cursor of a place in the answer to a question."""
        content = msgspec.msgpack.encode(_Sealed(place[0], place[1].encode("utf-8", "surrogatepass")))
        return base64.urlsafe_b64encode(self._mac(query, content) + content).decode().rstrip("=")

    def opened(self, query: UserQuery, cursor: str) -> Place:
        """Return the place that a cursor was made of. Raises RequestError (`invalid_cursor`)."""
        refused = RequestError(
            "this cursor is not of this list; give next_cursor as it was, with the same filters and the same sort",
            code="invalid_cursor",
        )
        if len(cursor) > MAX_CHARACTERS:
            raise refused
        try:
            sealed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (ValueError, binascii.Error):
            raise refused from None
        mac, content = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(query, content)):
            raise refused
        place = _decode(content)
        return place.number, UserKey(place.key.decode("utf-8", "surrogatepass"))

    def _mac(self, query: UserQuery, content: bytes) -> bytes:
        asked = msgspec.msgpack.encode(
            [
                query.tenant, query.bounds, query.sought, query.segments, query.key_prefix, query.sort, query.descends,
                content,
            ]
        )  # fmt: skip
        return hashlib.blake2b(asked, digest_size=_MAC_BYTES, key=self._key).digest()
