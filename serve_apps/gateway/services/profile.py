"""Defines what callers see of one user: the document of `GET /v1/users/{id}`, and what export, erasure and consent
answer.

Times are ISO 8601 in UTC; what a client wrote (traits, properties) is as written. Field order is the order of the JSON.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cluster.control_plane.supply_documents import CouponOfUser
from cluster.times import iso
from serve_apps.gateway.services.audit import (
    Audit,
    ConsentDocument,
    GroupDocument,
    SentDocument,
    SuppressionDocument,
)
from serve_apps.gateway.services.inbox_message import InboxMessage
from whisperer.events.types import RESERVED_NAME, EventType
from whisperer.ids import Partition
from whisperer.profiles import timeline
from whisperer.profiles.timeline import Entry
from whisperer.shard.views.user import EventView, ScoresView

_KINDS = {
    **{int(t): t.wire for t in EventType},
    timeline.SEGMENT_ENTERED: "segment_entered",
    timeline.SEGMENT_EXITED: "segment_exited",
    timeline.MERGED: "merged",
}
_RESERVED = set(RESERVED_NAME.values())
_ABSENT = msgspec.Raw(b"")


class _Content(msgspec.Struct, gc=False):
    properties: msgspec.Raw = _ABSENT
    traits: msgspec.Raw = _ABSENT
    context: msgspec.Raw = _ABSENT


_decode_content = msgspec.json.Decoder(_Content).decode


class TraitsHeld(msgspec.Struct):
    """How much of the room for traits is taken."""

    names: int
    bytes: int
    most_names: int
    most_bytes: int


class ScoresDocument(msgspec.Struct):
    """What a model expects of the coming weeks, and when the user's shard last took any scores in."""

    churn: float | None
    engagement: float | None
    model: str | None
    at: str | None

    @classmethod
    def of(cls, view: ScoresView) -> ScoresDocument:
        """Return the document of a user's scores."""
        return cls(view.churn, view.engagement, view.model or None, iso(view.at) if view.at else None)


class TimelineEntry(msgspec.Struct, kw_only=True, gc=False):
    """One entry: a segment entered or left, a merge, or an event, with what was sent where that is known."""

    type: str
    timestamp: str | None
    segment: str | msgspec.UnsetType = msgspec.UNSET
    event: str | msgspec.UnsetType = msgspec.UNSET
    message_id: str | msgspec.UnsetType = msgspec.UNSET
    received_at: str | msgspec.UnsetType | None = msgspec.UNSET
    properties: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    traits: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    context: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET

    @classmethod
    def of(cls, entry: Entry, stored: EventView | None) -> TimelineEntry:
        """Return the entry, with the event behind it if there is one."""
        shown = cls(type=_KINDS.get(entry.kind, "other"), timestamp=iso(entry.timestamp))
        if entry.kind in (timeline.SEGMENT_ENTERED, timeline.SEGMENT_EXITED):
            shown.segment = entry.name
        elif entry.name not in _RESERVED:
            shown.event = entry.name
        if stored is not None:
            shown.message_id, shown.received_at = stored.message_id, iso(stored.received_at)
            try:
                content = _decode_content(stored.payload)
            except msgspec.MsgspecError:
                content = _Content()
            shown.properties, shown.traits, shown.context = map(
                _written, (content.properties, content.traits, content.context)
            )
        return shown


def _written(value: msgspec.Raw) -> msgspec.Raw | msgspec.UnsetType:
    """Return a copy of what a client wrote, or nothing if that is nothing: the copy does not hold the whole event."""
    text = bytes(value)
    return msgspec.UNSET if text in (b"", b"null") else msgspec.Raw(text)


class UserProfile(msgspec.Struct, kw_only=True):
    """One user as of a time. The newest of everything comes first."""

    user_id: str | None
    anonymous_ids: list[str]
    previous_ids: list[str]
    refused_anonymous_ids: list[str]
    traits: dict[str, msgspec.Raw]
    traits_held: TraitsHeld
    features: dict[str, int | float | None]
    scores: ScoresDocument | None
    event_counts: dict[str, int]
    segments: list[str]
    timeline: list[TimelineEntry]
    first_seen: str | None
    last_seen: str | None
    time_zone: str | None
    locale: str | None
    partition: Partition
    group: GroupDocument | None
    consent: list[ConsentDocument]
    suppressed: list[SuppressionDocument]
    sends: list[SentDocument]
    candidacies: list[Audit]


PROFILE_FIELDS = frozenset(UserProfile.__struct_fields__)


def with_fields(profile: UserProfile, fields: frozenset[str]) -> dict[str, Any]:
    """Return these members of a profile, and the user's id."""
    return {name: getattr(profile, name) for name in UserProfile.__struct_fields__ if name in fields | {"user_id"}}


class DayCount(msgspec.Struct):
    """How often a user had an event on one day."""

    event: str
    day: str
    count: int


class Exported(msgspec.Struct, kw_only=True):
    """The beginning of an export; every stored row of the user follows."""

    exported_at: str | None
    profile: UserProfile
    daily_counts: list[DayCount]
    inbox: list[InboxMessage]
    coupons: list[CouponOfUser]


class Erased(msgspec.Struct):
    """A user whose state is gone."""

    user_id: str
    erased: bool = True
    note: str = "state is gone now; files follow within the retention (docs/identity.md)"


class Preferences(msgspec.Struct):
    """What a user may see of how they are reached: statements about consent, and hard stops."""

    user_id: str
    consent: list[ConsentDocument]
    suppressed: list[SuppressionDocument]


class ConsentStated(msgspec.Struct):
    """A statement about consent that was recorded."""

    user_id: str
    channel: str
    purpose: str
    granted: bool
    source: str
