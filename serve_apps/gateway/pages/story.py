"""Builds a user's timeline: events, and between them every time a campaign considered the user, newest first.

A candidacy stands where it was considered and carries what followed from it, each with the time elapsed since.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from serve_apps.gateway.pages.formats import moment, percent, reward, span
from serve_apps.gateway.pages.narrative import cause, channel_words
from serve_apps.gateway.pages.pictures import sentence
from serve_apps.gateway.pages.record import DecisionRecord
from serve_apps.gateway.services.profile import TimelineEntry
from whisperer.decisions.decision import NO_SEND
from whisperer.journeys.engagement import DecisionStatus

MOST_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Follow:
    """What followed from a candidacy. ``after`` is text; ``kind`` is one of
    :data:`whisperer.feedback.outcome.OUTCOMES`, or sent, waiting, refused."""

    kind: str
    after: str
    text: str


@dataclass(frozen=True, slots=True)
class Moment:
    """One entry. ``kind``: event, segment, merged, or decision with its ``status``. ``at`` is None if the time is
    unknown."""

    kind: str
    at: int | None
    title: str
    note: str = ""
    status: str = ""
    decision: DecisionRecord | None = None
    follows: tuple[Follow, ...] = ()


def woven(timeline: Sequence[TimelineEntry], candidacies: Sequence[DecisionRecord]) -> tuple[list[Moment], int]:
    """Return the newest :data:`MOST_SHOWN` entries, and how many older ones there are."""
    moments = [_happened(entry) for entry in timeline] + [_considered(decision) for decision in candidacies]
    # A candidacy at the same instant as its event came after it, so it stands above it.
    moments.sort(key=lambda m: (m.at if m.at is not None else -1, m.kind == "decision"), reverse=True)
    return moments[:MOST_SHOWN], max(0, len(moments) - MOST_SHOWN)


def _happened(entry: TimelineEntry) -> Moment:
    at, kind = moment(entry.timestamp), entry.type
    if kind in ("segment_entered", "segment_exited"):
        verb = "entered" if kind == "segment_entered" else "left"
        return Moment("segment", at, f"{verb} {entry.segment or ''}", "segment")
    if kind == "merged":
        return Moment("merged", at, "merged with another id")
    content = {**_object(entry.traits), **_object(entry.properties)}
    return Moment("event", at, entry.event or kind, brief(content), kind)


def _considered(decision: DecisionRecord) -> Moment:
    return Moment(
        "decision",
        moment(decision.at),
        decision.campaign,
        _verdict(decision),
        decision.status,
        decision,
        tuple(_follows(decision)),
    )


def _verdict(decision: DecisionRecord) -> str:
    arm, p = decision.arm, decision.propensity
    if not arm or p is None:
        waiting = "waiting for a choice" if decision.status == DecisionStatus.DECIDING else ""
        return f"not reached: {sentence(decision.reason)}" if decision.status == DecisionStatus.REFUSED else waiting
    chosen = "decided to leave alone" if arm == NO_SEND else f"decided on {arm}"
    return f"{chosen}, with {percent(p)}, because {cause(decision.trigger)}"


def _follows(decision: DecisionRecord) -> list[Follow]:
    found = []
    start, send = decision.at, decision.send
    if send is not None and decision.status == DecisionStatus.SENT:
        found.append(Follow("sent", _after(start, send.sent_at), f"{channel_words(send.channel)} sent"))
    elif send is not None and decision.status == DecisionStatus.SENDING:
        found.append(Follow("waiting", "", f"{channel_words(send.channel)} on its way, {send.attempts} attempts"))
    if decision.status == DecisionStatus.REFUSED and decision.arm:
        found.append(Follow("refused", "", f"not delivered: {sentence(decision.reason)}"))
    for outcome in decision.outcomes:
        detail = f": {outcome.detail}" if outcome.detail else ""
        found.append(Follow(outcome.kind, _after(start, outcome.at), outcome.kind + detail))
    if decision.matured and decision.reward_micros:
        found.append(Follow("reward", "", f"reward {reward(decision.reward_micros)}"))
    return found


def _after(start: str | None, end: str | None) -> str:
    begun, ended = moment(start), moment(end)
    return "" if begun is None or ended is None else f"+{span(max(0, ended - begun))}"


def _object(written: msgspec.Raw | msgspec.UnsetType) -> dict[str, Any]:
    """Return the object that a client wrote; what is none counts as empty."""
    value = None if isinstance(written, msgspec.UnsetType) else msgspec.json.decode(written)
    return value if isinstance(value, dict) else {}


def brief(content: dict[str, Any]) -> str:
    """Return ``plan: pro, seats: 3``: what an event carried, as far as one line holds it."""
    return ", ".join(f"{name}: {shown(value)}" for name, value in list(content.items())[:6])


def shown(value: Any) -> str:
    """Return a JSON value for reading: text as it is, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
