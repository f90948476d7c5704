"""Fourth step: the events of a parsed body are decoded, checked, timed, addressed and collected, or rejected.

Each event fares on its own; one bad event costs its neighbours nothing. The work goes step by step over whole columns,
which is a third cheaper in Python than event by event. What is accepted is appended to the builder of its shard, with
the client's own bytes as payload.

Rules that are not Segment's own: a messageId of 100 characters or more is ``invalid_type``; an alias without userId or
previousId is ``missing_identity``; ``integrations`` is not looked at; a time before 1970, given or corrected, is
replaced by receivedAt; an event that a batch's context makes larger than 32 KB is ``event_too_large``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from whisperer.events.address import address, id_text, link_of
from whisperer.events.block import BlockBuilder
from whisperer.events.clock import event_times
from whisperer.events.collect import Accepted, collect
from whisperer.events.decode import Decoded, decode_events
from whisperer.events.money import revenues
from whisperer.events.outcome import Outcome
from whisperer.events.parse import Parsed
from whisperer.events.place import places
from whisperer.events.refusals import Fault
from whisperer.events.requirements import carries_traits, faults_of
from whisperer.events.routes import Route
from whisperer.events.types import RESERVED_NAME, WIRE_TO_TYPE, EventType, Flag
from whisperer.events.wire import Scalar, WireEvent
from whisperer.ids import message_hash

T = TypeVar("T")

# plain ints: arithmetic on enums is many times slower
_TRACK, _ALIAS = int(EventType.TRACK), int(EventType.ALIAS)
_INACTIVE, _TRAITS, _LINK, _HISTORICAL = int(Flag.INACTIVE), int(Flag.TRAITS), int(Flag.LINK), int(Flag.HISTORICAL)
_MAY_CARRY_TRAITS = frozenset((int(EventType.IDENTIFY), int(EventType.GROUP)))
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
    outcome = Outcome(parsed.route.is_batch)
    is_import = parsed.route is Route.IMPORT
    decoded = decode_events(parsed, outcome.rejected)
    kinds = _kinds(decoded.events, parsed.route)
    user_ids = _texts([event.userId for event in decoded.events])
    anonymous_ids = _texts([event.anonymousId for event in decoded.events])
    faults = faults_of(decoded.events, kinds, user_ids, anonymous_ids)
    if faults:
        _reject(decoded, faults, outcome)
        kinds = _without(kinds, faults)
        user_ids, anonymous_ids = _without(user_ids, faults), _without(anonymous_ids, faults)

    events = decoded.events
    outcome.n_accepted = len(events)
    if not events:
        return outcome
    keys, partitions = address(user_ids, anonymous_ids, seed)
    links = _links(events, kinds, user_ids, anonymous_ids)
    zones, locales = places([event.context for event in events], outcome.notices)
    message_ids = [event.messageId or new_message_id() for event in events]
    accepted = Accepted(
        keys=keys,
        partitions=partitions,
        kinds=kinds,
        flags=_flags(events, kinds, links, _HISTORICAL if is_import else 0),
        times=event_times(events, parsed.sent_at, received_at, outcome.notices, corrects=not is_import),
        revenues=revenues(events, kinds, outcome.notices),
        message_hashes=list(map(message_hash, message_ids)),
        names=[_NAMES.get(kind) or event.event or "" for event, kind in zip(events, kinds, strict=True)],
        zones=zones,
        locales=locales,
        links=links,
        message_ids=message_ids,
        payloads=decoded.payloads,
    )
    collect(accepted, shard_of, builders, received_at=received_at, client_ip=client_ip)
    return outcome


def _kinds(events: Sequence[WireEvent], route: Route) -> list[int]:
    """The type of each event as int; 0 where it is not one of the six."""
    if route.kind is not None:
        return [int(route.kind)] * len(events)
    return [_KINDS.get(event.type, 0) for event in events]


def _texts(ids: Sequence[Scalar]) -> list[str | None]:
    return [given if given is None or isinstance(given, str) else id_text(given) for given in ids]


def _reject(decoded: Decoded, faults: Mapping[int, Fault], outcome: Outcome) -> None:
    """Take the faulty events out of the decoded ones, and report each under its place in the request."""
    for place, fault in faults.items():
        outcome.rejected.append(fault.at(decoded.indexes[place], decoded.events[place].messageId or None))
    outcome.rejected.sort(key=lambda rejected: rejected.index)
    decoded.events = _without(decoded.events, faults)
    decoded.payloads = _without(decoded.payloads, faults)
    decoded.indexes = _without(decoded.indexes, faults)


def _without(column: Sequence[T], faults: Mapping[int, Fault]) -> list[T]:
    return [value for place, value in enumerate(column) if place not in faults]


def _links(
    events: Sequence[WireEvent],
    kinds: Sequence[int],
    user_ids: Sequence[str | None],
    anonymous_ids: Sequence[str | None],
) -> list[str | None]:
    return [
        link_of(kind, user_id, anonymous_id, event.previousId) if (user_id and anonymous_id) or kind == _ALIAS else None
        for event, kind, user_id, anonymous_id in zip(events, kinds, user_ids, anonymous_ids, strict=True)
    ]


def _flags(events: Sequence[WireEvent], kinds: Sequence[int], links: Sequence[str | None], of_route: int) -> list[int]:
    flags = [of_route] * len(events)
    for place, event in enumerate(events):
        if event.context is not None and event.context.active is False:
            flags[place] |= _INACTIVE
        if links[place] is not None:
            flags[place] |= _LINK
        if kinds[place] in _MAY_CARRY_TRAITS and carries_traits(event, kinds[place]):
            flags[place] |= _TRAITS
    return flags
