"""Makes pages of what is listed by name: ``{"data": [...], "next_cursor": ...}``. A cursor is opaque to callers.

It names the last item shown, not a position in the list: additions and removals meanwhile shift nothing.
"""

from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

import msgspec
from fastapi import Query

Item = TypeVar("Item")

Limit = Annotated[int, Query(ge=1, le=500, description="Most entries of a page")]
MAX_VERSION = 2**31 - 1
Version = Annotated[int | None, Query(ge=1, le=MAX_VERSION, description="of the published versions")]
CURSOR = r"^([0-9a-f]{2}){1,400}$"
Cursor = Annotated[str | None, Query(pattern=CURSOR, description="next_cursor of the page before")]


class Page(msgspec.Struct, Generic[Item]):
    """One page of a list; ``next_cursor`` is None at the end."""

    data: list[Item]
    next_cursor: str | None


def page(items: Sequence[Item], key: Callable[[Item], str], limit: int, cursor: str | None) -> Page[Item]:
    """Return the entries after ``cursor``; ``items`` must be in the order of ``key``."""
    after = None if cursor is None else decode(cursor)
    rest = [item for item in items if after is None or key(item) > after]
    shown = rest[:limit]
    return Page(shown, encode(key(shown[-1])) if len(rest) > limit else None)


def encode(text: str) -> str:
    """Encode a text as a cursor."""
    return text.encode().hex()


def decode(cursor: str) -> str:
    """Decode a cursor; anything else in a cursor's form also yields a place in the order."""
    return bytes.fromhex(cursor).decode(errors="replace")
