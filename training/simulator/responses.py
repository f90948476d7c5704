"""Decide what a person does about one message, and when: opens, clicks, comes back to reach the goal, or unsubscribes.

Pure: the same occasion, message and moment give the same responses. Who converts was fixed before the message came (see
``effects``); only the way there is acted out here. Every due time lies well inside the attribution window, and does not
depend on what was sent, so that nobody converts sooner because they were written to.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from .effects import ARMS, Effects
from .occasion import Occasion
from .segment import iso, ms_of

SETTLE_MS = 4_000
"""How long after an occasion a message may come; after that, what happens without one is decided."""

_GOAL_WITHIN_S, _OPEN_WITHIN_S, _CLICK_WITHIN_S = 12.0, 4.0, 3.0
_OPENS, _CLICKS = 0.45, 0.08
"""Shares among those whom the message does not move: curiosity."""

Kind = Literal["open", "click", "unsubscribe", "goal"]

_PIXEL = re.compile(r"https?://[^\s\"'<>]*?(/m/o/[A-Za-z0-9_-]+)")
_LINK = re.compile(r"https?://[^\s\"'<>]*?(/m/c/[A-Za-z0-9_-]+)")
_LEAVE = re.compile(r"https?://[^\s\"'<>]*?(/m/u/[A-Za-z0-9_-]+)")


class Message(msgspec.Struct, frozen=True):
    """A message that arrived. Links are paths on the gateway that made them, None if the message has no such link:
    nothing else in a message is ever followed."""

    send_key: str
    user: str
    campaign: str
    channel: str
    received_ms: int
    pixel: str | None
    link: str | None
    leave: str | None


class Response(msgspec.Struct, array_like=True, frozen=True):
    """One thing a person does: ``path`` of a link; ``event`` of a goal, complete before it is sent."""

    id: str
    user: str
    due_ms: int
    kind: Kind
    path: str = ""
    event: dict[str, Any] | None = None


def message(entry: Mapping[str, Any]) -> Message:
    """Convert an entry of `GET /v1/sink/messages`."""
    parts: Mapping[str, str] = entry.get("parts") or {}
    headers: Mapping[str, str] = entry.get("headers") or {}
    received: Any = entry["received_at"]
    text = "\n".join(str(part) for part in parts.values())
    return Message(
        send_key=str(entry["send_key"]),
        user=str(entry.get("user_id") or entry.get("user_key") or "").removeprefix("u:"),
        campaign=str(entry.get("campaign") or ""),
        channel=str(entry.get("channel") or ""),
        received_ms=ms_of(received) if isinstance(received, str) else int(received),
        pixel=_found(_PIXEL, text),
        link=_found(_LINK, text),
        leave=_found(_LEAVE, headers.get("List-Unsubscribe", "") + "\n" + text),
    )


def reading(
    effects: Effects, note: Message, occasion: Occasion | None, arm: str | None, now_ms: int, goal: str
) -> list[Response]:
    """Return what follows from a message that is read at ``now_ms``, and update the occasion. Without an occasion, or
    without knowing the arm, the person may look at the message and is not moved by it."""
    moved = leaves = False
    if occasion is not None and arm is not None:
        occasion.arm, occasion.settled = arm, True
        moved = occasion.converts(arm) and not occasion.converted
        leaves = not moved and effects.luck("leaves", note.send_key) < occasion.hazards[ARMS.index(arm)]
    opens = moved or leaves or effects.luck("opens", note.send_key) < _OPENS
    clicks = moved or (opens and effects.luck("clicks", note.send_key) < _CLICKS)
    opened_ms = now_ms + _delay_ms(effects, "open", note.send_key, _OPEN_WITHIN_S)
    clicked_ms = opened_ms + _delay_ms(effects, "click", note.send_key, _CLICK_WITHIN_S)
    out: list[Response] = []
    if opens and note.pixel:
        out.append(Response(f"open/{note.send_key}", note.user, opened_ms, "open", note.pixel))
    if clicks and note.link:
        out.append(Response(f"click/{note.send_key}", note.user, clicked_ms, "click", note.link))
    if leaves and note.leave:
        out.append(Response(f"leave/{note.send_key}", note.user, clicked_ms, "unsubscribe", note.leave))
    if moved and occasion is not None:
        out.append(_goal(effects, occasion, goal, clicked_ms + 300))
    return out


def left_alone(effects: Effects, occasion: Occasion, goal: str) -> list[Response]:
    """Return what happens if no message has come, and update the occasion."""
    occasion.settled = True
    return [_goal(effects, occasion, goal, 0)] if occasion.converts(ARMS[0]) and not occasion.converted else []


def _goal(effects: Effects, occasion: Occasion, goal: str, not_before_ms: int) -> Response:
    """Return the goal's event, stamped with when it happens: however late it is sent, its content stays the same."""
    occasion.converted = True
    due_ms = occasion.stamp_ms + SETTLE_MS + _delay_ms(effects, "goal", occasion.id, _GOAL_WITHIN_S)
    due_ms = max(due_ms, not_before_ms)
    event = {
        "type": "track",
        "userId": occasion.user,
        "event": goal,
        "messageId": f"goal-{occasion.id}",
        "timestamp": iso(due_ms),
        "properties": {"feature": _FEATURES[int(occasion.luck * 1e6) % len(_FEATURES)]},
        "context": {"library": {"name": "analytics-python", "version": "2.3.3"}},
    }
    return Response(f"goal/{occasion.id}", occasion.user, due_ms, "goal", event=event)


_FEATURES = ("timeline", "automations", "report builder", "guest access")


def _delay_ms(effects: Effects, what: str, name: str, within_s: float) -> int:
    """Draw a delay, mostly short, at most ``within_s``: an exponential with a third of that as its scale, truncated."""
    scale = within_s / 3
    luck = effects.luck("delay", what, name)
    return int(-1000 * scale * np.log1p(-luck * -np.expm1(-within_s / scale)))


def _found(pattern: re.Pattern[str], text: str) -> str | None:
    match = pattern.search(text)
    return match.group(1) if match else None
