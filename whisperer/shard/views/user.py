"""Define how a shard shows a user, and an event of theirs."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from whisperer.eligibility.standing import Standing
from whisperer.ids import Partition, UserKey
from whisperer.profiles.timeline import Entry
from whisperer.shard.views.decision import DecisionView


class ScoresView(msgspec.Struct):
    """Show a user's scores, the model that gave the newest ones, and when this shard last took any in (ms UTC)."""

    churn: float | None
    engagement: float | None
    model: str
    at: int


class Located(NamedTuple):
    """Say where a key leads: `moved_to` is the key it was merged into, None for a live user."""

    key: UserKey
    moved_to: UserKey | None


class EventView(msgspec.Struct, gc=False):
    """Show the event behind an entry of the timeline; ``payload`` is the client's JSON."""

    message_id: str
    received_at: int
    payload: bytes


class UserView(msgspec.Struct):
    """Show a user to callers. `moved_to` names the key it was merged into; everything else is then empty."""

    key: UserKey
    moved_to: UserKey | None = None
    anonymous_ids: list[str] = []
    previous_ids: list[str] = []
    refused_anonymous_ids: list[str] = []
    traits: dict[str, msgspec.Raw] = {}
    features: dict[str, int | float | None] = {}
    event_counts: dict[str, int] = {}
    segments: list[str] = []
    timeline: list[Entry] = []
    first_seen: int | None = None
    last_seen: int | None = None
    time_zone: str | None = None
    locale: str | None = None
    partition: Partition = Partition(0)
    sequence: int = 0
    daily_counts: list[tuple[str, int, int]] = []
    candidacies: list[DecisionView] = []
    standing: Standing = msgspec.field(default_factory=Standing)
    group: str = ""
    scores: ScoresView | None = None
    n_traits: int = 0
    """Trait names that the profile holds, removed ones included."""
    traits_bytes: int = 0
    """Bytes that the traits take of :data:`whisperer.profiles.traits.MAX_BYTES`."""
    shown_by: int = -1
    """The shard that answers."""
    recent: list[EventView | None] = []
    """The events behind the timeline, entry by entry: None where it is not in the memory of the shard that answers."""
