"""Make the references by which providers name a message in their callbacks, and read them back.

A reference goes out with a message (:attr:`whisperer.delivery.dispatch.Dispatch.reference`) and comes back with what
the provider says of it. It holds all that is needed to journal an outcome, so nothing is stored for it; who has one can
read nothing in it, and nobody else can make one. The address is in it as the hash by which it would be suppressed: a
bounce stops the address that was used, whatever the profile says by then.

A reference is at most :data:`MAX_CHARS` long, of ``A-Za-z0-9_-``: what the tightest provider brings back (a tag of
Amazon SES). A message to a user whose key is too long for that has none, and its callbacks say nothing.
"""

from __future__ import annotations

import msgspec

from whisperer.feedback.sealing import Seal
from whisperer.ids import DecisionId, TenantId, UserKey

MAX_CHARS = 256
_VERSION = "r"


class Reference(msgspec.Struct, array_like=True, frozen=True):
    """Say which message was meant. ``address_hash``: of the address it went to."""

    tenant: TenantId
    user_key: UserKey
    decision_id: DecisionId
    channel: str
    address_hash: bytes = b""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Reference).decode


class References:
    """Makes and reads references with the installation's secret."""

    def __init__(self, secret: bytes) -> None:
        self._seal = Seal(secret, "references")

    def make(self, reference: Reference) -> str:
        """Return the reference's text, "" if it would be longer than MAX_CHARS."""
        try:
            made = _VERSION + self._seal.close(_encode(reference))
        except UnicodeEncodeError:  # a lone surrogate in a user's id
            return ""
        return made if len(made) <= MAX_CHARS else ""

    def read(self, text: str) -> Reference | None:
        """Return what a text of ours says, None of any other text."""
        if len(text) > MAX_CHARS or not text.isascii() or not text.startswith(_VERSION):
            return None
        content = self._seal.open(text[len(_VERSION) :])
        if content is None:
            return None
        try:
            return _decode(content)
        except (msgspec.MsgspecError, ValueError):
            return None
