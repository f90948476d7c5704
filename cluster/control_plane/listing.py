"""Reads one page of a table at a time, in the order of one column, and among equals of one unique text column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import ColumnElement, Row, Select
from sqlalchemy.orm import InstrumentedAttribute, Session

Item = TypeVar("Item")

MAX_PART = 1_000


class After(NamedTuple):
    """The last entry of the part before: its key, and its value in the column that is sorted by."""

    key: str
    value: str | int | float | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Which part of a list is asked for: at most ``limit`` entries behind ``after``.

    ``sort`` names a column; any other name is the unique one's, whose ids are in the order of their making.
    ``descends``: from the greatest down. Equals are in ascending order of the unique column either way.
    """

    limit: int = MAX_PART
    after: After | None = None
    descends: bool = False
    sort: str = ""


@dataclass(frozen=True, slots=True)
class Part(Generic[Item]):
    """Part of a list; ``last`` is its last entry, or None if nothing follows."""

    items: list[Item]
    last: After | None


Column = InstrumentedAttribute[Any] | ColumnElement[Any]


def rows_of(
    session: Session,
    query: Select[*tuple[Any, ...]],
    key: InstrumentedAttribute[str] | ColumnElement[str],
    place: Place,
    sorts: Mapping[str, Column] | None = None,
) -> tuple[Sequence[Row[*tuple[Any, ...]]], After | None]:
    """Return the rows of a place, and the last of them if more follow. ``sorts``: columns without NULLs, by name."""
    by: Column = (sorts or {}).get(place.sort, key)
    if place.after is not None:
        after = place.after.key.replace("\x00", "")  # PostgreSQL has no such text, and no key contains it
        if by is key:
            query = query.where(key < after if place.descends else key > after)
        else:
            value = place.after.value
            beyond = by < value if place.descends else by > value
            query = query.where(beyond | ((by == value) & (key > after)))
    ordered = query.order_by(by.desc() if place.descends else by.asc(), key.asc())
    limit = min(place.limit, MAX_PART)
    found = session.execute(ordered.add_columns(key, by).limit(limit + 1)).all()
    shown = found[:limit]
    return shown, After(shown[-1][-2], shown[-1][-1]) if len(found) > limit else None
