"""Define how a shard shows a user, and an event of theirs."""

from __future__ import annotations

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


class EventView(msgspec.Struct):
    """Show the event behind an entry of the timeline; ``payload`` is the client's JSON."""

    message_id: str
    received_at: int
    payload: bytes
