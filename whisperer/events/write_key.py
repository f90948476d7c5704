"""Find the write key that a request presents (third step). Whether it is valid is left to the caller.

The Authorization header, if it holds a key, takes precedence over the body's ``writeKey``. Official SDKs send the same
key in both.
"""

from __future__ import annotations

import binascii


def presented_key(authorization: str | None, body_key: str | None) -> str | None:
    """Return the key in ``Basic base64(key:)``, ``Bearer key`` or the body; None if there is none.

    The password of Basic credentials is ignored: Segment's is empty.
    """
    return _from_header(authorization) or body_key or None


def _from_header(authorization: str | None) -> str | None:
    scheme, _, credentials = (authorization or "").strip().partition(" ")
    credentials = credentials.strip()
    match scheme.lower():
        case "bearer":
            return credentials
        case "basic":
            try:
                return binascii.a2b_base64(credentials, strict_mode=True).decode().partition(":")[0]
            except ValueError:  # not base64, not ASCII, not UTF-8
                return None
        case _:
            return None
