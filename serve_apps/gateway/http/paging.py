"""Defines a page of a list: ``{"data": [...], "next_cursor": ...}``. A cursor is opaque to callers."""

from typing import Annotated, Generic, TypeVar

import msgspec
from fastapi import Query

Item = TypeVar("Item")

MAX_LIMIT = 500
Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Most entries of a page")]
MAX_VERSION = 2**31 - 1
Version = Annotated[int | None, Query(ge=1, le=MAX_VERSION, description="of the published versions")]
CURSOR = r"^([0-9a-f]{2}){1,1000}$"
Cursor = Annotated[str | None, Query(pattern=CURSOR, description="next_cursor of the page before")]


class Page(msgspec.Struct, Generic[Item]):
    """One page of a list; ``next_cursor`` is None at the end."""

    data: list[Item]
    next_cursor: str | None


def encode(text: str) -> str:
    """Encode a text as a cursor."""
    return text.encode("utf-8", "surrogatepass").hex()


def decode(cursor: str) -> str:
    """Decode a cursor; anything else in a cursor's form also yields a text."""
    return bytes.fromhex(cursor).decode(errors="replace")
