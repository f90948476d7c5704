"""Define what a shard says of its newest records, those that the warehouse may not have yet.

It travels as a plain document (:mod:`actors.calls.plain`), and is part of a job's task.
"""

from __future__ import annotations

import msgspec

from whisperer.ids import UserKey


class ShardTail(msgspec.Struct, kw_only=True):
    """What a shard says of its newest records.

    Attributes
    ----------
    shard : its number
    folder : of its journal; "" where the warehouse has everything up to ``end``
    end : position up to which records are applied
    repeats : by position of a block with repeats that may not be exported yet, one byte per event: whether it counted
    erasing : user keys of the tenant that may still have rows, and when they were erased, ms UTC
    version : events counted, users erased, users being erased; the same as long as the tenant's past is
    """

    shard: int
    folder: str
    end: int
    repeats: dict[int, bytes] = {}
    erasing: dict[UserKey, int] = {}
    version: tuple[int, int, int] = (0, 0, 0)
