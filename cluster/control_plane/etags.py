"""Makes entity tags for what callers write, and checks that nobody wrote in between (RFC 9110, If-Match).

A tag stands for everything that a write would replace. It is compared inside the transaction that writes, so of two
callers who read the same state one succeeds and the other gets an error.
"""

from __future__ import annotations

import hashlib

from whisperer.errors import ConflictError

ANY = "*"


class StaleError(ConflictError):
    """The state has changed since the caller read it."""

    code = "precondition_failed"
    status = 412


def etag(*parts: str | int) -> str:
    """Return a quoted tag that is equal only for equal parts."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"'


def check(if_match: str | None, current: str | None, *also: str) -> None:
    """Check a caller's tags against the current one, which is None if nothing exists yet, or others that will do.

    Raises StaleError. A caller who names no tag overwrites whatever is there.
    """
    if if_match is None:
        return
    wanted = [tag.strip() for tag in if_match.split(",")]
    if current is None:
        raise StaleError("If-Match asks for something that is there already; there is nothing")
    if not {ANY, current, *also} & set(wanted):
        raise StaleError(
            f"this was changed since you read it; read it again and write on top of it: it is {current} now"
        )
