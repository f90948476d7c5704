"""Makes API keys, hashes them for storage and recognises a presented one.

A key is 256 random bits, so storing a plain SHA-256 is safe: nobody can try 2^256 candidates, and a slow password hash
would only cost every gateway a tenth of a second per look-up. The key itself is never stored; its kind and its last
four characters are, so that people can tell keys apart.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

WRITE, SECRET = "write", "secret"
KIND_TO_PREFIX = {WRITE: "wk_", SECRET: "sk_"}
_RANDOM_BYTES = 32  # 43 characters of URL-safe base 64
KEY_CHARACTERS = 3 + 43


def new_key(kind: str) -> str:
    """Return a new random key; its prefix shows the kind."""
    return KIND_TO_PREFIX[kind] + secrets.token_urlsafe(_RANDOM_BYTES)


def key_hash(key: str) -> str:
    """Return the hash under which a key is stored."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def shown(key: str) -> str:
    """Return what lists show of a key: ``wk_…AbCd``."""
    return f"{key[:3]}…{key[-4:]}"


def matches(key: str, stored_hash: str) -> bool:
    """Return whether a presented key has the stored hash, in constant time."""
    return hmac.compare_digest(key_hash(key), stored_hash)
