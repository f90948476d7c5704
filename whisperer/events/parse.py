"""Split a JSON body into its events (second step), and decide what is wrong with the body as a whole.

Needs no tenant, because the write key may be in the body. A plain body is read by :mod:`~whisperer.events.scan` in one
pass; any other is taken apart exactly. Each event stays the client's own bytes; what they contain is left to
:mod:`~whisperer.events.admit`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import overload

import msgspec
import numpy as np
from msgspec import Raw
from numpy.typing import NDArray

from whisperer.events.decompress import MAX_BODY_BYTES, TOO_LARGE
from whisperer.events.kernels.placeholders import DEFAULT, Placeholders
from whisperer.events.nesting import MAX_NESTING, nests_too_deep
from whisperer.events.refusals import Code, Refusal
from whisperer.events.routes import Route
from whisperer.events.scan import MAX_EVENTS, NOTHING, no_rows, scan
from whisperer.events.unicode_check import is_utf8, mark_lone_surrogates
from whisperer.events.wire import (
    BatchEnvelope,
    Scalar,
    decode_batch,
    decode_single,
    members_or_none,
    scalar_or_text,
)

MAX_SHARED_BYTES = 4 * 1024 * 1024  # a batch's context and integrations, counted once per event that they merge into

_WHITESPACE = b" \t\r\n"
_TOO_DEEP = Refusal(Code.MALFORMED_JSON, f"the JSON nests deeper than {MAX_NESTING} levels")
_LONE_SURROGATE = Refusal(Code.INVALID_UNICODE, "a string holds half of a surrogate pair")


class Parsed(msgspec.Struct, frozen=True):
    """Hold a well-formed body.

    Attributes
    ----------
    write_key : the body's ``writeKey``
    sent_at, context, integrations : the batch's; None for a single event
    events : each event's JSON, in order
    not_unicode : indexes of events that hold a lone surrogate; their bytes here are not the client's
    text, rows, strings, n_plain : the scanner's result, see :class:`~whisperer.events.scan.Scan`; if the body is not
        plain, no row is
    """

    route: Route
    write_key: str | None
    events: Sequence[bytes | Raw]
    sent_at: Scalar = None
    context: dict[str, Raw] | None = None
    integrations: dict[str, Raw] | None = None
    not_unicode: frozenset[int] = frozenset()
    text: NDArray[np.uint8] = NOTHING.text
    rows: NDArray[np.int64] = NOTHING.rows
    strings: NDArray[np.int64] = NOTHING.strings
    n_plain: int = 0


class Slices(Sequence[bytes]):
    """Cut the events of a scanned body out of its text, each when it is asked for."""

    def __init__(self, text: NDArray[np.uint8], rows: NDArray[np.int64]) -> None:
        self._text = text
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return Slices(self._text, self._rows[index])
        start, stop = self._rows[index, :2].tolist()
        return self._text[start:stop].tobytes()


def parse_body(body: bytes, route: Route, placeholders: Placeholders = DEFAULT) -> Parsed | Refusal:
    """Return the events of a decompressed body, or why there are none. Never raises."""
    if len(body) > MAX_BODY_BYTES:
        return TOO_LARGE
    found = scan(body, route, placeholders)
    if found is None:
        return parse_exactly(body, route)
    return Parsed(
        route,
        found.write_key,
        Slices(found.text, found.rows),
        found.sent_at,
        text=found.text,
        rows=found.rows,
        strings=found.strings,
        n_plain=found.n_plain,
    )


def parse_exactly(body: bytes, route: Route) -> Parsed | Refusal:
    """Do the same for any body of bounded size, without the scanner."""
    if not is_utf8(body):
        return Refusal(Code.MALFORMED_JSON, "the body is not UTF-8")
    read = _read_batch if route.is_batch else _read_single
    try:
        return read(body, route)
    except RecursionError:
        return _TOO_DEEP
    except msgspec.DecodeError as error:
        marked = mark_lone_surrogates(body)
        if marked is None:
            return Refusal(Code.MALFORMED_JSON, str(error))
    body, mark = marked
    if not mark:
        return _LONE_SURROGATE
    try:
        parsed = read(body, route)
    except RecursionError:
        return _TOO_DEEP
    except msgspec.DecodeError as error:
        return Refusal(Code.MALFORMED_JSON, str(error))
    return parsed if isinstance(parsed, Refusal) else _without_marked(parsed, body, mark)


def _without_marked(parsed: Parsed, body: bytes, mark: bytes) -> Parsed | Refusal:
    counts = [bytes(event).count(mark) for event in parsed.events]
    if sum(counts) != body.count(mark):
        return _LONE_SURROGATE  # outside every event: only the whole body can be refused
    return msgspec.structs.replace(parsed, not_unicode=frozenset(i for i, n in enumerate(counts) if n))


def _read_single(body: bytes, route: Route) -> Parsed | Refusal:
    try:
        key = decode_single(body).writeKey
    except msgspec.ValidationError:
        members = members_or_none(body)
        if members is None:
            return _no_object(body)
        key = _lenient_key(members)
    if nests_too_deep(body, len(body), is_batch=False):
        return _TOO_DEEP
    return Parsed(route, key, (body.strip(_WHITESPACE),), rows=no_rows(1))


def _read_batch(body: bytes, route: Route) -> Parsed | Refusal:
    envelope: BatchEnvelope | Refusal
    try:
        envelope = decode_batch(body)
    except msgspec.ValidationError:
        envelope = _lenient_batch(body)
    if isinstance(envelope, Refusal):
        return envelope
    events = envelope.batch
    if events is None:
        return Refusal(Code.INVALID_TYPE, "batch must be an array of events", "/batch")
    sizes = list(map(len, events))
    surroundings = len(body) - sum(sizes)
    if nests_too_deep(body, max(surroundings, max(sizes, default=0)), is_batch=True):
        return _TOO_DEEP
    if len(events) > MAX_EVENTS:
        return Refusal(Code.TOO_MANY_EVENTS, f"a batch holds {MAX_EVENTS} events at most, not {len(events)}", "/batch")
    shared = envelope.context, envelope.integrations
    if any(shared) and len(events) * sum(map(_n_bytes, shared)) > MAX_SHARED_BYTES:
        return Refusal(Code.BODY_TOO_LARGE, "the batch's context is too large to be merged into each of its events")
    return Parsed(route, envelope.writeKey, events, envelope.sentAt, *shared, rows=no_rows(len(events)))


def _n_bytes(members: dict[str, Raw] | None) -> int:
    return sum(len(key) + len(value) for key, value in members.items()) if members else 0


def _lenient_batch(body: bytes) -> BatchEnvelope | Refusal:
    """Read a batch member by member, to accept repeated keys whose last value is right and to name a wrong member."""
    members = members_or_none(body)
    if members is None:
        return _no_object(body)
    envelope = BatchEnvelope(writeKey=_lenient_key(members))
    if "batch" in members:
        try:
            envelope.batch = _decode_list(members["batch"])
        except msgspec.ValidationError:
            return Refusal(Code.INVALID_TYPE, "batch must be an array of events", "/batch")
    if "sentAt" in members:
        envelope.sentAt = scalar_or_text(members["sentAt"])
    for name in ("context", "integrations"):
        if name in members:
            try:
                setattr(envelope, name, _decode_object(members[name]))
            except msgspec.ValidationError:
                return Refusal(Code.INVALID_TYPE, f"{name} must be an object", f"/{name}")
    return envelope


def _no_object(body: bytes) -> Refusal:
    """Refuse well-formed JSON that is not an object. Raises DecodeError or RecursionError if it is not well-formed."""
    msgspec.json.decode(body)
    return Refusal(Code.INVALID_TYPE, "the body must be a JSON object")


def _lenient_key(members: dict[str, Raw]) -> str | None:
    key = scalar_or_text(members["writeKey"]) if "writeKey" in members else None
    return key if isinstance(key, str) else None


_decode_list = msgspec.json.Decoder(list[Raw] | None).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw] | None).decode
