"""What a segment needs of the users it is asked about, and of the features it names.

The shard implements :class:`Rows` over its columns. Three promises make ``next_check_at`` right, and are the shard's to
keep: with no new event, a windowed ``event_count`` never grows (an event dated after ``now`` counts at once), a feature
changes only as its clock says, and traits and ``last_seen`` stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from whisperer.segments.trait_test import TraitTest

Clock: TypeAlias = Literal["none", "day", "elapsed"]


class FeatureSpec(Protocol):
    """A named feature.

    ``clock`` says how it changes with no new event: ``none`` never, ``day`` at UTC midnight, ``elapsed`` it is the time
    since some instant of the user and grows by 1 a ``unit``, which then is hours or days.
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
    """A batch of n users at one instant. Arrays have shape (n,) and are never written to by this package."""

    n: int
    now: int
    """ms UTC, never before an event's receipt."""

    def trait_test(self, test: TraitTest) -> NDArray[np.bool_]:
        """``test.matches(traits)`` for each user; may be cached under ``test.key`` until the user's traits change."""
        ...

    def feature(self, name: str) -> NDArray[np.float64]:
        """The feature's value, in its spec's unit; NaN where absent."""
        ...

    def event_count(self, event: str, days: int | None) -> NDArray[np.int64]:
        """How often it happened ever (None), or in the last ``days`` whole UTC days, today among them."""
        ...

    def last_seen(self) -> NDArray[np.int64]:
        """ms UTC, -1 where never."""
        ...
