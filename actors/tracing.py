"""Which requests the work of this moment is for: taken from a request's headers, carried into calls, read by the log.

A request id is the client's ``x-request-id`` where that is short and plain, else one made here. A trace id is that of
a W3C ``traceparent``, else made here. A call to a shard may be for many requests at once; it carries the first
:data:`MAX_CARRIED` of them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

MAX_CARRIED = 8

# No "@" and no blanks: an id that is somebody's address or a sentence is not taken over into logs.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/=+~-]{0,127}\Z")
_SECRET_PREFIXES = ("wk_", "sk_", "op_")
# https://www.w3.org/TR/trace-context/#traceparent-header: version 00 has exactly four fields, later ones may have more.
_TRACEPARENT = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?\Z")


class Trace(NamedTuple):
    request_id: str
    trace_id: str


_current: ContextVar[tuple[Trace, ...]] = ContextVar("traces", default=())


def current() -> tuple[Trace, ...]:
    """The requests that what runs now is for; empty where it is for none."""
    return _current.get()


def trace_id() -> str:
    """The trace id of what runs now; a new one, that no line has yet, where it is for no request."""
    traces = _current.get()
    return traces[0].trace_id if traces else secrets.token_hex(16)


@contextmanager
def within(traces: Iterable[Trace]) -> Iterator[None]:
    """What runs inside, and the tasks made there, is for these requests."""
    kept = tuple(traces)[:MAX_CARRIED]
    token = _current.set(kept)
    try:
        yield
    finally:
        _current.reset(token)


def of_headers(request_id: str | None, traceparent: str | None) -> Trace:
    """The trace of a request with these headers; what is missing or cannot be taken over is made."""
    made = secrets.token_hex(16)
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
