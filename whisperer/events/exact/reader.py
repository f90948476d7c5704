"""Read one event exactly: this defines what becomes of it, whatever its form.

Rules that are not Segment's own: a messageId of 100 characters or more is ``invalid_type``; an alias without userId or
previousId is ``missing_identity``; ``integrations`` is ignored; a time before 1970, given or corrected, is replaced by
receivedAt; an event that a batch's context makes larger than 32 KB is ``event_too_large``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from msgspec import Raw

from whisperer.events.clock import event_time
from whisperer.events.exact.address import id_text, link_of
from whisperer.events.exact.decode import NOT_UNICODE, typed_event
from whisperer.events.exact.money import revenue_of
from whisperer.events.exact.requirements import carries_traits, misplaced_traits, unmet
from whisperer.events.kernels.placeholders import Placeholders
from whisperer.events.outcome import Notice
from whisperer.events.place import known_place
from whisperer.events.refusals import Fault
from whisperer.events.routes import Route
from whisperer.events.types import RESERVED_NAME, WIRE_TO_TYPE, EventType, Flag
from whisperer.events.wire import WireEvent, decode_message_id
from whisperer.ids import ANONYMOUS_PREFIX, KNOWN_PREFIX

_KINDS: dict[str | None, int] = {wire: int(kind) for wire, kind in WIRE_TO_TYPE.items()}
_ALIAS = int(EventType.ALIAS)
_NAMES = {int(kind): name for kind, name in RESERVED_NAME.items()}


class Exact(NamedTuple):
    """Hold an accepted event; ``time`` as in a block, ``flags`` without the route's."""

    kind: int
    flags: int
    key: str
    link: str | None
    message_id: str
    time: int
    revenue: int
    name: str
    zone: str
    locale: str


class Circumstances(NamedTuple):
    """Hold what applies to all events of a request; ``skew`` is that of :func:`~whisperer.events.clock.skew`."""

    route: Route
    received_at: int
    skew: int
    new_message_id: Callable[[], str]
    notices: Counter[Notice]
    placeholders: Placeholders


def read_exactly(
    text: bytes | Raw, payload: bytes | Raw, around: Circumstances, *, is_unicode: bool
) -> Exact | tuple[Fault, str | None]:
    """Read an event whose JSON is well-formed: accept it, or return (its fault, its messageId). Never raises.

    ``text`` is the client's own, ``payload`` the same with the batch's context merged in. What is odd about an accepted
    event is counted in ``around.notices``.
    """
    kind_of_route = around.route.kind
    event = typed_event(payload, kind_of_route) if is_unicode else NOT_UNICODE
    if isinstance(event, Fault):
        return event, decode_message_id(text)
    kind = int(kind_of_route) if kind_of_route else _KINDS.get(event.type, 0)
    user_id, anonymous_id = id_text(event.userId), id_text(event.anonymousId)
    fault = unmet(event, kind, user_id, anonymous_id) or misplaced_traits(event, kind)
    if fault is not None:
        return fault, event.messageId or None
    user_id, anonymous_id, previous_id = _somebody(event, kind, user_id, anonymous_id, around)
    link = link_of(kind, user_id, anonymous_id, previous_id)
    zone, locale = _place(event, around.notices)
    return Exact(
        kind=kind,
        flags=_flags(event, kind, link),
        key=KNOWN_PREFIX + user_id if user_id else ANONYMOUS_PREFIX + (anonymous_id or ""),
        link=link,
        message_id=event.messageId or around.new_message_id(),
        time=event_time(
            event, around.skew, around.received_at, around.notices, corrects=around.route is not Route.IMPORT
        ),
        revenue=revenue_of(event, kind, around.notices),
        name=_NAMES.get(kind) or event.event or "",
        zone=zone,
        locale=locale,
    )


def _somebody(
    event: WireEvent, kind: int, user_id: str | None, anonymous_id: str | None, around: Circumstances
) -> tuple[str | None, str | None, str | None]:
    """Return the (userId, anonymousId, previousId) that may be joined: a real id wins over a placeholder, and an event
    that has nothing else stays under its placeholder.
    """
    previous_id = id_text(event.previousId) if kind == _ALIAS else None
    odd = [given in around.placeholders if given else False for given in (user_id, anonymous_id, previous_id)]
    if not any(odd):
        return user_id, anonymous_id, previous_id
    around.notices[Notice.PLACEHOLDER_ID] += 1
    if kind == _ALIAS:
        return user_id, None, None
    if odd[0] and anonymous_id and not odd[1]:
        return None, anonymous_id, None
    return user_id, None if user_id else anonymous_id, None


def _place(event: WireEvent, notices: Counter[Notice]) -> tuple[str, str]:
    if event.context is None:
        return "", ""
    zone, locale, odd = known_place(event.context.timezone, event.context.locale)
    notices.update(odd)
    return zone, locale


def _flags(event: WireEvent, kind: int, link: str | None) -> int:
    flags = Flag(0)
    if event.context is not None and event.context.active is False:
        flags |= Flag.INACTIVE
    if link is not None:
        flags |= Flag.LINK
    if carries_traits(event, kind):
        flags |= Flag.TRAITS
    return int(flags)
