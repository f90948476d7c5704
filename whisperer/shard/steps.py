"""Name the steps of applying records, so that the time each takes can be measured.

The machine reports when a step has passed and reads no clock: the clock stays outside, with the observer
(`actors.telemetry.measures`). A record's steps come in the order of :data:`STEPS`; one that did not happen is not
reported.
"""

from __future__ import annotations

from typing import Protocol

STEPS = (
    "decode",  # a block's columns read
    "dedup",  # events numbered, repeats found
    "users",  # rows found or made; events of merged and erased keys set aside
    "columns",  # features, places, timelines
    "traits",
    "segments",
    "campaigns",  # goals and triggers
    "links",  # second ids noted
    "tick",  # what was due by time
    "messages",  # letters from other partitions
    "rest",  # every other record
)


class Steps(Protocol):
    """Observe the steps of applying records."""

    def passed(self, step: str) -> None:
        """Attribute the time since the last call to one of :data:`STEPS`."""
        ...


class Unmeasured:
    """Ignore the steps: nobody measures."""

    def passed(self, step: str) -> None:
        return None
