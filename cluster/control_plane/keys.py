"""API keys: how they are made, what of them is kept, how a presented one is recognised.

A key is 256 random bits, so a plain SHA-256 of it is a safe thing to store: nobody can try 2^256 candidates, and a slow
password hash would only cost every gateway a tenth of a second a look-up. The key itself is never stored; its kind and
its last four characters are, so that people can tell keys apart.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets

KIND_TO_PREFIX = {"write": "wk_", "secret": "sk_"}
_RANDOM_BYTES = 32  # 43 characters of URL-safe base 64
KEY_CHARACTERS = 3 + 43


def new_key(kind: str) -> str:
    return KIND_TO_PREFIX[kind] + secrets.token_urlsafe(_RANDOM_BYTES)


def key_hash(key: str) -> str:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def shown(key: str) -> str:
    """What lists show of a key: ``wk_…AbCd``."""
    return f"{key[:3]}…{key[-4:]}"


def matches(key: str, stored_hash: str) -> bool:
    """Whether a presented key is the stored one, in time that does not depend on where they differ."""
    return hmac.compare_digest(key_hash(key), stored_hash)
