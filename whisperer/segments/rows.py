"""Define what a segment needs from the users it is asked about and from the features it names.

The shard implements :class:`Rows` over its columns. ``next_check_at`` is right if the shard keeps three promises: with
no new event, a windowed ``event_count`` never grows (an event dated after ``now`` counts at once), a feature changes
only as its clock says, and traits and ``last_seen`` stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from whisperer.segments.trait_test import TraitTest

Clock: TypeAlias = Literal["none", "day", "elapsed"]


class FeatureSpec(Protocol):
    """Describe a named feature.

    ``clock`` says how it changes with no new event. ``none``: never. ``day``: at UTC midnight. ``elapsed``: it is the
    time since some instant of the user, and grows by 1 per ``unit``, which is then hours or days.
    """

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def description(self) -> str: ...


class Rows(Protocol):
    """Give access to a batch of n users at one instant. Arrays have shape (n,); this package never writes to them."""

    n: int
    now: int
    """ms UTC, never before the receipt of an event."""

    def trait_test(self, test: TraitTest) -> NDArray[np.bool_]:
        """Return ``test.matches(traits)`` per user; may be cached under ``test.key`` until the user's traits change."""
        ...

    def feature(self, name: str) -> NDArray[np.float64]:
        """Return the feature's value, in its spec's unit; NaN if absent."""
        ...

    def event_count(self, event: str, days: int | None) -> NDArray[np.int64]:
        """Count how often it happened: ever (None), or in the last ``days`` whole UTC days, today included."""
        ...

    def last_seen(self) -> NDArray[np.int64]:
        """Return when each user was last seen, ms UTC; -1 for never."""
        ...
