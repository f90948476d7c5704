"""Entity tags of what callers write, and the check that nobody wrote in between (RFC 9110, If-Match).

A tag stands for all that a write would replace. It is compared inside the transaction that writes, so of two callers
who read the same state one wins and the other is told.
"""

from __future__ import annotations

import hashlib

from whisperer.errors import ConflictError

ANY = "*"


class StaleError(ConflictError):
    """What the caller read is not what is there any more."""

    code = "precondition_failed"
    status = 412


def etag(*parts: str | int) -> str:
    """A quoted tag, the same for the same parts only."""
    text = "\x1f".join(map(str, parts)).encode("utf-8", "surrogatepass")
    return f'"{hashlib.sha256(text).hexdigest()[:32]}"'


def check(if_match: str | None, current: str | None) -> None:
    """``current`` is None where there is nothing yet. Raises StaleError; a caller who names no tag takes what comes."""
    if if_match is None:
        return
    wanted = [tag.strip() for tag in if_match.split(",")]
    if current is None:
        raise StaleError("If-Match asks for something that is there already; there is nothing")
    if ANY not in wanted and current not in wanted:
        raise StaleError(
            f"this was changed since you read it; read it again and write on top of it: it is {current} now"
        )
