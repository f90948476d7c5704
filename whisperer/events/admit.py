"""Fourth step and on: each event of a parsed body is validated, timed, addressed and collected, or rejected.

Decides for each event on its own; one bad event costs its neighbours nothing. What it accepts is appended to the
builder of the event's shard with the client's own bytes as payload. The loop is the hot path of ingestion: what every
event needs stands in it, what few events need is called.

Rules that are not Segment's own: a messageId of 100 characters or more is ``invalid_type``; an alias without userId or
previousId is ``missing_identity``; ``integrations`` is not looked at; a time before 1970, given or corrected, is
replaced by receivedAt; an event that a batch's context makes larger than 32 KB is ``event_too_large``.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

import msgspec
from msgspec import Raw

from whisperer.events.address import address, id_text, link_of
from whisperer.events.block import BlockBuilder
from whisperer.events.clock import instant, skew
from whisperer.events.collect import ShardRows, collect
from whisperer.events.money import micro_units
from whisperer.events.outcome import Notice, Outcome
from whisperer.events.parse import Parsed
from whisperer.events.place import known_place
from whisperer.events.refusals import Code, Fault, Rejected
from whisperer.events.requirements import unmet
from whisperer.events.routes import Route
from whisperer.events.shared_context import merger
from whisperer.events.types import RESERVED_NAME, WIRE_TO_TYPE, EventType, Flag
from whisperer.events.validate import carries_traits, read_event
from whisperer.events.wire import Scalar, decode_event, decode_message_id
from whisperer.ids import message_hash

MAX_EVENT_BYTES = 32 * 1024

# plain ints: arithmetic on enums is many times slower
_TRACK, _IDENTIFY, _ALIAS = int(EventType.TRACK), int(EventType.IDENTIFY), int(EventType.ALIAS)
_INACTIVE, _TRAITS, _LINK, _HISTORICAL = int(Flag.INACTIVE), int(Flag.TRAITS), int(Flag.LINK), int(Flag.HISTORICAL)
_KINDS: dict[str | None, int] = {wire: int(kind) for wire, kind in WIRE_TO_TYPE.items()}
_NAMES = {int(kind): name for kind, name in RESERVED_NAME.items()}


def admit(
    parsed: Parsed,
    *,
    seed: int,
    received_at: int,
    client_ip: str | None,
    new_message_id: Callable[[], str],
    shard_of: Sequence[int],
    builders: Mapping[int, BlockBuilder],
) -> Outcome:
    """Append a body's good events to the builders of their shards.

    Parameters
    ----------
    seed : the tenant's, :func:`whisperer.ids.tenant_seed`
    received_at : int, ms UTC, the gateway's clock
    client_ip : address of the connection, kept beside the events as their ``context.ip`` where they give none
    new_message_id : makes an id for an event that has none
    shard_of : partition -> shard, one entry a partition
    builders : shard -> builder of this tenant; must have each shard that ``shard_of`` names

    Returns
    -------
    Outcome; its n_accepted events are in the builders when this returns, and nothing else is.

    Raises
    ------
    KeyError if a builder is missing; nothing was appended then.
    """
    events = parsed.events
    outcome = Outcome(parsed.route.is_batch)
    rejected = outcome.rejected
    notices = outcome.notices
    if not events:
        return outcome
    route_kind = parsed.route.kind
    kind_of_all = int(route_kind or 0)
    is_import = parsed.route is Route.IMPORT
    batch_skew = 0 if is_import else _skew(received_at, parsed.sent_at, notices)
    route_flags = _HISTORICAL if is_import else 0
    merge = merger(parsed.context, parsed.integrations) if parsed.context or parsed.integrations else None
    unread = _unread(parsed)
    shard_rows: defaultdict[int, ShardRows] = defaultdict(ShardRows)

    for index, payload in enumerate(events):
        if unread and index in unread:
            rejected.append(unread[index])
            continue
        if merge is not None:
            payload = merge(payload)
            if len(payload) > MAX_EVENT_BYTES:
                rejected.append(_too_large(index, payload))
                continue
        try:
            event = decode_event(payload)
        except msgspec.ValidationError:
            read = read_event(payload, route_kind)
            if isinstance(read, Fault):
                rejected.append(read.at(index, decode_message_id(payload)))
                continue
            event = read

        user = event.userId
        if user is not None and not isinstance(user, str):
            user = id_text(user)
        anonymous = event.anonymousId
        if anonymous is not None and not isinstance(anonymous, str):
            anonymous = id_text(anonymous)
        kind = kind_of_all or _KINDS.get(event.type, 0)
        fault = unmet(event, kind, user, anonymous)
        if fault is not None:
            rejected.append(fault.at(index, event.messageId))
            continue
        flags = route_flags
        context = event.context
        if event.traits or (kind == _IDENTIFY and context is not None and context.traits):
            carried = carries_traits(event, kind)
            if isinstance(carried, Fault):
                rejected.append(carried.at(index, event.messageId))
                continue
            if carried:
                flags |= _TRAITS

        # from here on the event is kept, whatever is odd about it
        revenue = 0
        if kind == _TRACK and (properties := event.properties) is not None and properties.revenue is not None:
            micros = micro_units(properties.revenue)
            if micros is None:
                notices[Notice.INVALID_REVENUE] += 1
            else:
                revenue = micros
        zone = locale = ""
        if context is not None:
            if context.active is False:
                flags |= _INACTIVE
            zone, locale, odd = known_place(context.timezone, context.locale)
            if odd:
                notices.update(odd)

        stamp = event.timestamp
        if stamp is None:
            stamp = event.originalTimestamp
        happened = received_at
        if stamp is not None:
            given = instant(stamp)
            if given is None:
                notices[Notice.UNPARSABLE_TIMESTAMP] += 1
            else:
                given += batch_skew if event.sentAt is None or is_import else _skew(received_at, event.sentAt, notices)
                if given < 0:
                    notices[Notice.TIMESTAMP_BEFORE_1970] += 1
                elif given < received_at:
                    happened = given

        key, partition = address(user, anonymous, seed)
        added = shard_rows[shard_of[partition]]
        if (user and anonymous) or kind == _ALIAS:
            link = link_of(kind, user, anonymous, event.previousId)
            if link is not None:
                flags |= _LINK
                added.links.append((len(added.rows), link))
        name = (event.event or "") if kind == _TRACK else _NAMES[kind]
        message_id = event.messageId or new_message_id()
        message = message_hash(message_id)
        added.rows.append(
            (key, partition, kind, flags, happened, revenue, message, name, zone, locale, message_id, payload)
        )

    collect(shard_rows, builders, received_at=received_at, client_ip=client_ip)
    outcome.n_accepted = len(events) - len(rejected)
    return outcome


def _skew(received_at: int, sent_at: Scalar, notices: Counter[Notice]) -> int:
    correction = skew(received_at, sent_at)
    if correction is None:
        notices[Notice.UNPARSABLE_SENT_AT] += 1
        return 0
    return correction


def _unread(parsed: Parsed) -> dict[int, Rejected]:
    """Events that are turned away unread, by index: those too large, and those that are not Unicode."""
    events = parsed.events
    unread = {
        index: Rejected(index, decode_message_id(events[index]), Code.INVALID_UNICODE, "half of a surrogate pair")
        for index in parsed.not_unicode
    }
    if max(map(len, events)) > MAX_EVENT_BYTES:
        unread |= {
            index: _too_large(index, event) for index, event in enumerate(events) if len(event) > MAX_EVENT_BYTES
        }
    return unread


def _too_large(index: int, payload: bytes | Raw) -> Rejected:
    message = f"an event holds {MAX_EVENT_BYTES} bytes at most, not {len(payload)}"
    return Rejected(index, decode_message_id(payload), Code.EVENT_TOO_LARGE, message)
