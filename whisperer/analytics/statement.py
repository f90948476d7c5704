"""Define what a plan hands over to be carried out: one query, and what it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from whisperer.analytics.sql import Query


@dataclass(frozen=True, slots=True)
class Statement:
    """One query over ``events``; ``known``, which has in addition ``who`` did it; ``history``, the same of all time.

    Attributes
    ----------
    text : of the query
    query : its parameters and tests
    since, until : ms UTC; it looks at no event of ``events`` outside of [since, until). None: at all of them before
    """

    text: str
    query: Query
    since: int | None
    until: int


Ask = Callable[[Statement], Iterator[pa.RecordBatch]]
"""Carries out a statement, and yields its rows."""
