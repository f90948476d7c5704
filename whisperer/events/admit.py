"""Turn a parsed body's events into parts of blocks (fourth step), or reject them, each on its own.

One bad event costs its neighbours nothing. An event that the scanner found plain is taken as it was read; any other is
read by :mod:`~whisperer.events.exact.reader`. An accepted event keeps the client's own bytes as its payload.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.events.clock import counted_skew
from whisperer.events.deal import BEFORE_1970, UNKNOWN, UNKNOWN_LOCALE, UNKNOWN_ZONE, Tables, deal
from whisperer.events.exact.reader import Circumstances, Exact, read_exactly
from whisperer.events.kernels.placeholders import DEFAULT, Placeholders
from whisperer.events.kernels.scan_event import (
    N_RESERVED,
    NOT_PLAIN,
    READ,
    REJECTED,
    STATE,
)
from whisperer.events.kernels.string_table import LOCALE_USE, NAME_USE, ZONE_USE
from whisperer.events.limits import MAX_EVENT_BYTES
from whisperer.events.outcome import Admission, Notice
from whisperer.events.parse import Parsed, Slices
from whisperer.events.place import known_place
from whisperer.events.routes import Route
from whisperer.events.shared_context import merger
from whisperer.events.types import RESERVED_NAME, EventType, Flag

_NOTICES = {
    BEFORE_1970: Notice.TIMESTAMP_BEFORE_1970,
    UNKNOWN_ZONE: Notice.UNKNOWN_TIME_ZONE,
    UNKNOWN_LOCALE: Notice.UNKNOWN_LOCALE,
}
_HISTORICAL = int(Flag.HISTORICAL)
_RESERVED = [{int(kind): name for kind, name in RESERVED_NAME.items()}.get(number, "") for number in range(N_RESERVED)]
_RESERVED_USES = (0, *(NAME_USE for _ in EventType))
_RESERVED_NAMES = {text: at for at, text in enumerate(dict.fromkeys(_RESERVED[1:]))}
_RESERVED_INDEXES = [0, *(_RESERVED_NAMES[text] for text in _RESERVED[1:])]
_decode_text = msgspec.json.Decoder(str).decode


def admit(
    parsed: Parsed,
    *,
    seed: int,
    received_at: int,
    client_ip: str | None,
    new_message_id: Callable[[], str],
    shard_of: Sequence[int] | NDArray[np.int64],
    placeholders: Placeholders = DEFAULT,
) -> Admission:
    """Return a body's good events by shard, and what is wrong with the others.

    Parameters
    ----------
    seed : the tenant's, :func:`whisperer.ids.tenant_seed`
    received_at : int, ms UTC, the gateway's clock
    client_ip : address of the connection, stored next to the events; their own ``context.ip`` is left unchanged
    new_message_id : makes an id for an event that has none
    placeholders : ids that are never joined; the same ones that the body was parsed with
    shard_of : partition -> shard, one entry per partition; fastest as an int64 array, which must be writable

    Returns
    -------
    Outcome; its n_accepted events are in its ``parts``.
    """
    outcome = Admission(parsed.route.is_batch)
    corrects = parsed.route is not Route.IMPORT
    skew = 0
    if corrects and parsed.sent_at is not None:
        skew = counted_skew(received_at, parsed.sent_at, outcome.notices)
    strings = _Strings(parsed)
    rows, extra = parsed.rows, b""
    if parsed.n_plain < len(rows):
        rows = rows.copy()
        around = Circumstances(parsed.route, received_at, skew, new_message_id, outcome.notices, placeholders)
        extra = _read_the_others(parsed, rows, around, strings, outcome)
    outcome.n_accepted = len(rows) - len(outcome.rejected)
    if not outcome.n_accepted:
        outcome.notices.clear()  # a notice about the batch's own sentAt
        return outcome
    outcome.parts, odd = deal(
        parsed.text,
        np.frombuffer(extra, np.uint8),
        rows,
        strings.tables(),
        np.asarray(shard_of, np.int64),
        seed=seed,
        received_at=received_at,
        skew=skew,
        corrects=corrects,
        of_route=0 if corrects else _HISTORICAL,
        client_ip=client_ip,
    )
    for what, n in enumerate(odd):
        if n:
            outcome.notices[_NOTICES[what]] += n
    return outcome


def _read_the_others(
    parsed: Parsed, rows: NDArray[np.int64], around: Circumstances, strings: _Strings, outcome: Admission
) -> bytes:
    """Fill the rows that are not plain; return the extra bytes, beyond the body's own, that they point to."""
    base, extra = len(parsed.text), bytearray()

    def put(text: bytes | msgspec.Raw) -> tuple[int, int]:
        start = base + len(extra)
        extra.extend(bytes(text))
        return start, len(text)

    merge = merger(parsed.context, parsed.integrations)
    for index in np.flatnonzero(rows[:, STATE] == NOT_PLAIN).tolist():
        text = parsed.events[index]
        payload = text if len(text) > MAX_EVENT_BYTES else merge(text)
        event = read_exactly(text, payload, around, is_unicode=index not in parsed.not_unicode)
        if not isinstance(event, Exact):
            fault, message_id = event
            outcome.rejected.append(fault.at(index, message_id))
            rows[index, STATE] = REJECTED
            continue
        if isinstance(parsed.events, Slices):
            start, stop = rows[index, :2].tolist()
        else:
            start, n_bytes = put(payload)
            stop = start + n_bytes
        key, link = event.key.encode(), (event.link or "").encode()
        rows[index] = (
            start,
            stop,
            READ,
            event.kind,
            event.flags,
            *put(key[2:]),
            key[0],
            *put(link[2:]),
            link[0] if link else 0,
            *put(event.message_id.encode()),
            event.time,
            0,
            event.revenue,
            strings.number(event.name),
            strings.number(event.zone),
            strings.number(event.locale),
        )
    return bytes(extra)


class _Strings:
    """Resolve the string numbers in the rows: the scanner's, and those added by the exact reading."""

    def __init__(self, parsed: Parsed) -> None:
        self._texts = list(_RESERVED)
        self._uses = list(_RESERVED_USES)
        for start, n_bytes, uses in parsed.strings[N_RESERVED:].tolist():
            self._texts.append(_decode_text(parsed.text[start - 1 : start + n_bytes + 1].tobytes()))  # with its quotes
            self._uses.append(uses)
        self._added: dict[str, int] = {"": 0}

    def number(self, text: str) -> int:
        number = self._added.get(text)
        if number is None:
            number = self._added[text] = len(self._texts)
            self._texts.append(text)
            self._uses.append(NAME_USE | ZONE_USE | LOCALE_USE)
        return number

    def tables(self) -> Tables:
        """Return the tables for :func:`deal`, with different spellings of one name, and unknown places, unified."""
        names = _RESERVED_NAMES.copy()
        zones, locales = {"": 0}, {"": 0}
        indexes = np.zeros((3, len(self._texts)), np.int64)
        indexes[0, :N_RESERVED] = _RESERVED_INDEXES
        for number in range(N_RESERVED, len(self._texts)):
            text, uses = self._texts[number], self._uses[number]
            if uses & NAME_USE:
                indexes[0, number] = names.setdefault(text, len(names))
            if uses & ZONE_USE:
                zone, _, odd = known_place(text, None)
                indexes[1, number] = UNKNOWN if odd else zones.setdefault(zone, len(zones))
            if uses & LOCALE_USE:
                _, locale, odd = known_place(None, text)
                indexes[2, number] = UNKNOWN if odd else locales.setdefault(locale, len(locales))
        return Tables((list(names), list(zones), list(locales)), indexes)
