"""Hold where each user stands: one array per column over the slots of the population, and its form on disk."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Self

import numpy as np
from numpy.typing import NDArray

NEVER = np.iinfo(np.int64).max


class LifeStage(IntEnum):
    """A user's stage. GONE waits in its slot until the next generation is due."""

    GONE = 0
    VISITOR = 1
    TRIAL = 2
    FREE = 3
    PAID = 4


class Subscription(IntEnum):
    """What a user is subscribed to."""

    FREE = 0
    STARTER = 1
    TEAM = 2
    BUSINESS = 3

    @property
    def label(self) -> str:
        """The plan's name in events."""
        return self.name.lower()


PRICE = {Subscription.FREE: 0, Subscription.STARTER: 19, Subscription.TEAM: 49, Subscription.BUSINESS: 199}
"""Monthly price in whole units of currency."""


@dataclass(slots=True)
class State:
    """Columns of shape (n_users,); moments are ms UTC, NEVER if there is none."""

    generation: NDArray[np.int64]
    stage: NDArray[np.int8]
    plan: NDArray[np.int8]
    onboarding: NDArray[np.int8]  # steps done
    arrives_at: NDArray[np.int64]  # from then on the generation may visit
    busy_until: NDArray[np.int64]  # end of the current visit
    trial_ends_at: NDArray[np.int64]
    renews_at: NDArray[np.int64]
    refund_at: NDArray[np.int64]
    ticket_due_at: NDArray[np.int64]  # when the open ticket is answered
    app_known: NDArray[np.bool_]  # the app's device has been identified
    in_group: NDArray[np.bool_]
    activity: NDArray[np.float64]  # visits per day, exponentially averaged over about a week
    visits_per_day: NDArray[np.float64]
    early_by_h: NDArray[np.int64]
    weekend: NDArray[np.float64]
    patience: NDArray[np.float64]
    zone: NDArray[np.int64]

    @classmethod
    def empty(cls, n_users: int) -> Self:
        """Return the state of empty slots."""
        state = cls(**{f.name: np.zeros(n_users, _DTYPES[f.name]) for f in fields(cls)})
        state.generation -= 1
        for name in _MOMENTS:
            getattr(state, name).fill(NEVER)
        return state

    def to_bytes(self) -> bytes:
        """Serialise, for :meth:`from_bytes`."""
        buffer = io.BytesIO()
        np.savez(buffer, **{f.name: getattr(self, f.name) for f in fields(self)})
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Read a state that :meth:`to_bytes` wrote."""
        with np.load(io.BytesIO(raw), allow_pickle=False) as arrays:
            return cls(**{f.name: arrays[f.name] for f in fields(cls)})


_MOMENTS = ("arrives_at", "trial_ends_at", "renews_at", "refund_at", "ticket_due_at")
_DTYPES: dict[str, type] = {f.name: np.int64 for f in fields(State)} | {
    "stage": np.int8,
    "plan": np.int8,
    "onboarding": np.int8,
    "app_known": np.bool_,
    "in_group": np.bool_,
    "activity": np.float64,
    "visits_per_day": np.float64,
    "weekend": np.float64,
    "patience": np.float64,
}
