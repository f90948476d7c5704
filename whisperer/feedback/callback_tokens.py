"""Make and read the secret tokens of callback URLs: whose channel, through which provider, and the how manieth token.

A token is sealed, so that it names its tenant to us alone, and any replica finds the tenant without asking anybody.
What makes it void is stored with the channel in the control plane: its number (``serial``), which counts up each time
the token is replaced.
"""

from __future__ import annotations

import msgspec

from whisperer.feedback.sealing import Seal
from whisperer.ids import TenantId

MAX_CHARS = 200
PATH = "/v1/callbacks/"


class CallbackToken(msgspec.Struct, array_like=True, frozen=True):
    """Say whose callbacks a token lets in."""

    tenant: TenantId
    channel: str
    provider: str
    serial: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(CallbackToken).decode


class CallbackTokens:
    """Makes and reads tokens with the installation's secret."""

    def __init__(self, secret: bytes) -> None:
        self._seal = Seal(secret, "callback tokens")

    def make(self, token: CallbackToken) -> str:
        """Return the token's text."""
        return self._seal.close(_encode(token))

    def url(self, base_url: str, token: CallbackToken) -> str:
        """Return where a provider posts its callbacks. ``base_url``: of the installation, as the world reaches it."""
        return f"{base_url.rstrip('/')}{PATH}{token.provider}/{self.make(token)}"

    def read(self, text: str) -> CallbackToken | None:
        """Return what a text of ours says, None of any other text."""
        content = self._seal.open(text) if len(text) <= MAX_CHARS and text.isascii() else None
        if content is None:
            return None
        try:
            return _decode(content)
        except (msgspec.MsgspecError, ValueError):
            return None
