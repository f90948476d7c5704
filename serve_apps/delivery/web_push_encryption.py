"""Encrypts a web push message for one browser, and says who sends it.

The content is encrypted for the keys of the subscription (RFC 8291: ECDH on P-256, HKDF, one record of `aes128gcm`, RFC
8188), so that the push service between cannot read it. The sender signs a token for that service's origin (VAPID, RFC
8292). What is random is made here, by the operating system.
"""

from __future__ import annotations

import base64
import os
import struct

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDH,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
    generate_private_key,
)
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

RECORD_BYTES = 4_096
OVERHEAD_BYTES = 16 + 4 + 1 + 65 + 1 + 16
"""Salt, record size, key length, our key, the delimiter, the tag."""
MAX_CONTENT_BYTES = RECORD_BYTES - OVERHEAD_BYTES
"""What every push service takes (RFC 8030, 7.2)."""
TOKEN_S = 12 * 3_600
"""RFC 8292 allows a day."""


def encrypt(
    content: bytes,
    browser_key: bytes,
    auth: bytes,
    *,
    salt: bytes | None = None,
    sender_key: EllipticCurvePrivateKey | None = None,
) -> bytes:
    """Return the body of a push request.

    Parameters
    ----------
    content : at most `MAX_CONTENT_BYTES`
    browser_key, auth : the subscription's `p256dh` (65 bytes) and `auth` (16 bytes)
    salt, sender_key : for the test vector of the RFC only; new for each message otherwise

    Raises
    ------
    ValueError : the browser's key is no point of the curve
    """
    salt = salt or os.urandom(16)
    sender_key = sender_key or generate_private_key(SECP256R1())
    theirs = EllipticCurvePublicKey.from_encoded_point(SECP256R1(), browser_key)
    ours = point(sender_key)
    secret = _derive(sender_key.exchange(ECDH(), theirs), auth, b"WebPush: info\0" + browser_key + ours, 32)
    key = _derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = _derive(secret, salt, b"Content-Encoding: nonce\0", 12)
    head = salt + struct.pack("!IB", RECORD_BYTES, len(ours)) + ours
    return head + AESGCM(key).encrypt(nonce, content + b"\x02", None)


class Vapid:
    """A sender's key, ``private_key`` in base64url as browsers' libraries write it, and how to reach its owner."""

    def __init__(self, private_key: str, subject: str) -> None:
        self._key = derive_private_key(int.from_bytes(unbase64(private_key)), SECP256R1())
        self._public = base64url(point(self._key))
        self._subject = subject

    def authorization(self, origin: str, now_s: int) -> str:
        """Return the header that tells a push service who sends."""
        claims = {"aud": origin, "exp": now_s + TOKEN_S, "sub": self._subject}
        return f"vapid t={jwt.encode(claims, self._key, 'ES256')}, k={self._public}"


def point(key: EllipticCurvePrivateKey) -> bytes:
    """Return the public half of a key, uncompressed."""
    return key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unbase64(text: str) -> bytes:
    """Return the bytes of a base64url text, padded or not. Raises ValueError."""
    bare = text.rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)


def _derive(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    return HKDF(SHA256(), size, salt, info).derive(secret)
