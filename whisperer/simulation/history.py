"""Prepare the past for a simulation: stored events as blocks again, payloads included, and facts other than events.

Decides that an event arrives at its event time: an imported history would otherwise all happen on one day. Guarantees:
everything that triggers, segments, audiences, templates and features look at is there: keys, second ids, names, money,
times, traits, properties, zones and locales. Leaves to others: reading the warehouse, and the order of events.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa

from whisperer.events.block import EventBlock
from whisperer.events.exact.address import link_of
from whisperer.events.parts import PartBuilder, merge
from whisperer.events.place import known_place
from whisperer.events.types import WIRE_TO_TYPE, EventType, Flag
from whisperer.events.wire import Scalar
from whisperer.ids import PARTITION_BITS, Partition, TenantId, UserKey, key_hash, message_hash, tenant_seed

COLUMNS = (
    "user_key",
    "user_id",
    "anonymous_id",
    "type",
    "event",
    "at",
    "revenue",
    "message_id",
    "payload",
)
"""Columns of a batch of stored events; ``at`` in ms UTC, ``revenue`` in micro-units."""

SENT, ASKED = "sent", "asked"
"""Kinds of facts: a provider accepted another campaign's message; a caller asked about a user. Others are outcomes."""


class Fact(msgspec.Struct, frozen=True):
    """Something that happened besides the events.

    Attributes
    ----------
    kind : SENT, ASKED, or one of :data:`whisperer.feedback.outcome.OUTCOMES`
    detail : a message's send key, or a question's occurrence
    """

    at: int
    kind: str
    user_key: UserKey
    campaign: str = ""
    channel: str = ""
    detail: str = ""


class _Context(msgspec.Struct):
    active: Any = None
    timezone: Any = None
    locale: Any = None


class _Looked(msgspec.Struct):
    """The parts of a payload that are in no column."""

    previousId: Scalar = None  # noqa: N815
    context: _Context | None = None


_decode = msgspec.json.Decoder(_Looked).decode
_NOTHING = _Looked()
_NO_CONTEXT = _Context()


def block_of(tenant: TenantId, events: pa.RecordBatch) -> EventBlock:
    """Build a block of 1 to 65,535 events (:data:`COLUMNS`), in this order."""
    seed, builder = tenant_seed(tenant), PartBuilder()
    for row in zip(*(events[name].to_pylist() for name in COLUMNS), strict=True):
        key, user, device, wire, name, at, revenue, message_id, payload = row
        kind, looked = WIRE_TO_TYPE[wire], _look(payload)
        context = looked.context or _NO_CONTEXT
        zone, locale, _ = known_place(_text(context.timezone), _text(context.locale))
        flags = Flag.TRAITS if kind is EventType.IDENTIFY else Flag(0)
        link = link_of(kind, user, device, looked.previousId) if user is not None else None
        hashed = key_hash(key, seed)
        builder.add(
            key=key,
            hashed=hashed,
            partition=Partition(hashed >> (64 - PARTITION_BITS)),
            kind=kind,
            name=name,
            timestamp=at,
            received=at,
            message_id=message_id,
            message_hash=message_hash(message_id),
            payload=payload.encode("utf-8", "surrogatepass"),
            flags=int(flags | (Flag.INACTIVE if context.active is False else Flag(0))),
            revenue=revenue,
            zone=zone,
            locale=locale,
            link=UserKey(link) if link else None,
        )
    return merge(tenant, [builder.build()])


def _look(payload: str) -> _Looked:
    if '"context"' not in payload and '"previousId"' not in payload:
        return _NOTHING
    try:
        return _decode(payload)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return _NOTHING  # a context that is not an object says nothing


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
