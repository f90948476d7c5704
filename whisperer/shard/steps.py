"""The steps of applying records, for whoever wants to know which of them takes the time.

The machine says when a step has passed and knows no clock: that stays outside, with who looks (`actors.measures`).
A record's steps come in the order of :data:`STEPS`; one that did not happen is not said.
"""

from __future__ import annotations

from typing import Protocol

STEPS = (
    "decode",  # a block's columns are seen
    "dedup",  # numbered, and repeats found
    "users",  # rows found or made; forwarded and erased ones set aside
    "columns",  # features, places, timelines
    "traits",
    "segments",
    "campaigns",  # goals and triggers
    "links",  # second ids noted
    "tick",  # what was due by time
    "messages",  # of other shards' partitions
    "rest",  # every other record
)


class Steps(Protocol):
    def passed(self, step: str) -> None:
        """The time since the last mark went to one of :data:`STEPS`."""
        ...


class Unmeasured:
    """Nobody looks."""

    def passed(self, step: str) -> None:
        return None
