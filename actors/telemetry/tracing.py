"""Trace which requests the current work is for: read from a request's headers, carried into calls, used by the log.

A request id is the client's ``x-request-id`` where that is short and plain, otherwise one made here. A trace id is that
of a W3C ``traceparent``, otherwise made here. A call to a shard may be for many requests at once; it carries the first
:data:`MAX_CARRIED` of them.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

MAX_CARRIED = 8

# No "@" and no blanks: an id that is somebody's address or a sentence stays out of logs.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=+~-]{0,127}\Z")
_SECRET_PREFIXES = ("wk_", "sk_", "op_")
# https://www.w3.org/TR/trace-context/#traceparent-header: version 00 has exactly four fields, later ones may have more.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?\Z")


class Trace(NamedTuple):
    request_id: str
    trace_id: str


_current: ContextVar[tuple[Trace, ...]] = ContextVar("traces", default=())


def current() -> tuple[Trace, ...]:
    """Return the requests that the current work is for; empty where there are none."""
    return _current.get()


def trace_id() -> str:
    """Return the trace id of the current work; a new one, in no log line yet, where it is for no request."""
    traces = _current.get()
    return traces[0].trace_id if traces else _new_id()


def _new_id() -> str:
    """Return 128 random bits; a trace's name, which nobody need be unable to guess."""
    return f"{random.getrandbits(128):032x}"


@contextmanager
def within(traces: Iterable[Trace]) -> Iterator[None]:
    """Mark what runs inside, and the tasks created there, as being for these requests."""
    kept = tuple(traces)[:MAX_CARRIED]
    token = _current.set(kept)
    try:
        yield
    finally:
        _current.reset(token)


def of_headers(request_id: str | None, traceparent: str | None) -> Trace:
    """Return the trace of a request with these headers; ids that are missing or unusable are generated."""
    made = _new_id()
    found = _TRACEPARENT.match(traceparent.strip()) if traceparent else None
    if found is not None and found.group(1) == "00" and found.group(3):
        found = None
    trace_id = made if found is None else found.group(2)
    usable = (
        request_id is not None
        and _REQUEST_ID.match(request_id) is not None
        and not request_id.startswith(_SECRET_PREFIXES)
    )
    return Trace(request_id if usable and request_id is not None else made, trace_id)
