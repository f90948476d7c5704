"""Join a user's keys in the warehouse by events; rows keep the key they came under.

Decides as the shards do, as far as events alone show: an anonymous id belongs to the first known user seen with it, an
alias joins the previous id into the new one. A few thousand merges cost milliseconds; nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import duckdb

from whisperer.errors import UnavailableError

Answer = TypeVar("Answer")

N_ATTEMPTS = 4

LONGEST_CHAIN = 16
"""How many aliases are followed one after another; a longer chain, or a circle, ends there."""

_SEEN = "AND anonymous_id IN (SELECT substr(user_key, 3) FROM events WHERE user_key >= 'a:' AND user_key < 'a;')"

_SAME = f"""
    WITH RECURSIVE links AS MATERIALIZED (
        SELECT child, arg_min(parent, (seen, child, parent)) AS parent FROM (
            SELECT 'a:' || anonymous_id AS child, 'u:' || user_id AS parent, min(received_at) AS seen
            FROM events WHERE user_id IS NOT NULL AND anonymous_id IS NOT NULL AND type <> 'alias' {{seen}}
            GROUP BY anonymous_id, user_id
            UNION ALL
            SELECT 'u:' || json_extract_string(payload, '$.previousId'), 'u:' || user_id, received_at
            FROM events WHERE type = 'alias' AND user_id IS NOT NULL
        ) WHERE child IS NOT NULL AND child <> parent GROUP BY child
    ), up AS (
        SELECT child AS key, parent AS top, 1 AS depth FROM links
        UNION ALL
        SELECT up.key, links.parent, depth + 1 FROM up JOIN links ON links.child = up.top WHERE depth < {LONGEST_CHAIN}
    )
    SELECT key, arg_max(top, depth) AS top FROM up GROUP BY key
"""  # noqa: S608 - a constant


def create_same(connection: duckdb.DuckDBPyConnection, *, only_seen: bool = False) -> None:
    """Create a table ``same(key, top)``: the key that a user has now, for each key that was joined into another.

    The connection needs a view ``events`` of one tenant. ``only_seen``: without anonymous keys under which no event
    came, which are most where clients send both ids with everything; no event's user changes by that.
    """
    connection.execute(f"CREATE OR REPLACE TEMP TABLE same AS {_SAME.format(seen=_SEEN if only_seen else '')}")


def asked_again(question: Callable[[], Answer]) -> Answer:
    """Answer a question over relations made anew each time, repeating it when a compaction removed files meanwhile.

    Raises UnavailableError where that happens again and again.
    """
    for _ in range(N_ATTEMPTS):
        try:
            return question()
        except (duckdb.IOException, FileNotFoundError) as error:
            last = error
    raise UnavailableError("the warehouse changes too fast, or cannot be read", retry_after_s=5.0) from last
