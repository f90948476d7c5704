"""Divides what a statement names, of which a database takes only so many."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

Item = TypeVar("Item")

CHUNK = 500


def chunks(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Yield all items, at most :data:`CHUNK` at a time.

    >>> [len(some) for some in chunks(range(1_100))]
    [500, 500, 100]
    """
    for start in range(0, len(items), CHUNK):
        yield items[start : start + CHUNK]
