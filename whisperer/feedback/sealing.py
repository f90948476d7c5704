"""Seal what we hand out and get back: nobody else can read it, make it or change it.

AES-256-SIV (RFC 5297) under a key of its own for each use, derived from the installation's secret. The same content
gives the same text, and a text has only one spelling, in characters that an address, a header and a tag may contain.
Leaves what the content is to :mod:`.links`, :mod:`.references` and :mod:`.callback_tokens`.
"""

from __future__ import annotations

import base64
import binascii
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from whisperer.errors import InvariantError

MIN_SECRET_BYTES = 16
TAG_BYTES = 16


class Seal:
    """Seals for one ``use``. ``secret`` is the installation's, of at least MIN_SECRET_BYTES."""

    def __init__(self, secret: bytes, use: str) -> None:
        if len(secret) < MIN_SECRET_BYTES:
            raise InvariantError(f"{use} need a secret of {MIN_SECRET_BYTES} bytes at least")
        self._cipher = AESSIV(hmac.digest(secret, b"user-whisperer " + use.encode() + b"\x00seal", "sha512"))

    def close(self, content: bytes) -> str:
        """Return the sealed text of a content that is not empty."""
        return _text(self._cipher.encrypt(content, None))

    def open(self, text: str) -> bytes | None:
        """Return the content of a text that :meth:`close` made, None of any other."""
        try:
            sealed = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
            # In base64 most bytes have several spellings, and characters that it does not know are passed over.
            if len(sealed) <= TAG_BYTES or _text(sealed) != text:
                return None
            return self._cipher.decrypt(sealed, None)
        except (InvalidTag, binascii.Error, ValueError):
            return None


def sealed_chars(n_bytes: int) -> int:
    """Return how many characters the sealed text of so many bytes has."""
    return -(-(n_bytes + TAG_BYTES) * 4 // 3)


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
