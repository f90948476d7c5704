"""A browser that takes web push: its subscription, and how it reads what comes, written from RFC 8291 the other way
round."""

from __future__ import annotations

import json
import struct

from cryptography.hazmat.primitives.asymmetric.ec import ECDH, SECP256R1, EllipticCurvePublicKey, derive_private_key
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from serve_apps.delivery.web_push_encryption import base64url, point, unbase64

# The receiver of RFC 8291, appendix A.
PRIVATE = derive_private_key(int.from_bytes(unbase64("q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94")), SECP256R1())
PUBLIC = point(PRIVATE)
AUTH = unbase64("BTBZMqHH6r4Tts7J_aSIgg")


def subscription(endpoint: str, key: str = base64url(PUBLIC), auth: str = base64url(AUTH)) -> str:
    """As `JSON.stringify` writes it."""
    written = {"endpoint": endpoint, "expirationTime": None, "keys": {"p256dh": key, "auth": auth}}
    return json.dumps(written, separators=(",", ":"))


def decrypted(body: bytes) -> bytes:
    salt, (size, length) = body[:16], struct.unpack("!IB", body[16:21])
    sender, sealed = body[21 : 21 + length], body[21 + length :]
    assert len(body) <= size == 4_096

    def derive(secret: bytes, salt: bytes, info: bytes, n: int) -> bytes:
        return HKDF(SHA256(), n, salt, info).derive(secret)

    shared = PRIVATE.exchange(ECDH(), EllipticCurvePublicKey.from_encoded_point(SECP256R1(), sender))
    secret = derive(shared, AUTH, b"WebPush: info\0" + PUBLIC + sender, 32)
    key = derive(secret, salt, b"Content-Encoding: aes128gcm\0", 16)
    nonce = derive(secret, salt, b"Content-Encoding: nonce\0", 12)
    content = AESGCM(key).decrypt(nonce, sealed, None)
    assert content[-1:] == b"\x02"
    return content[:-1]
