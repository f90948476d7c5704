"""Reads the body of one ingestion request, at the pace and within the room that
:mod:`serve_apps.gateway.http.arrivals` allows.

A body that falls behind, or whose sender hangs up, is `request_timeout` (408), on which clients send again; the part
received is not used. One dropped to make room is `overloaded` (503).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from serve_apps.gateway.http.arrivals import Arrivals, BodyOwner, BodyPace
from whisperer.events.decompress import MAX_BODY_BYTES, TOO_LARGE
from whisperer.events.refusals import Code, Refusal

TOO_SLOW = Refusal(Code.REQUEST_TIMEOUT, "the body came too slowly or not to its end; send it again")
NO_ROOM = Refusal(Code.OVERLOADED, "too many bodies are on their way; send it again after Retry-After")


async def read_body(
    receive: Callable[[], Awaitable[MutableMapping[str, Any]]], arrivals: Arrivals, owner: BodyOwner, pace: BodyPace
) -> bytes | Refusal:
    """Return the whole body, or the refusal if there is none."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    chunks: list[bytes] = []
    n_bytes, more = 0, True
    limit = asyncio.timeout_at(pace.deadline(began, 0))

    def give_up() -> None:
        if not limit.expired():  # its time may be up before it has had a turn
            limit.reschedule(loop.time())

    arrival = arrivals.begin(owner, give_up)
    try:
        async with limit:
            while more:
                message = await receive()
                if message["type"] != "http.request":
                    return TOO_SLOW
                chunk = message.get("body", b"")
                more = message.get("more_body", False)
                if arrival.is_given_up:
                    return NO_ROOM
                if not chunk:
                    continue
                chunks.append(chunk)
                n_bytes += len(chunk)
                if n_bytes > MAX_BODY_BYTES:
                    return TOO_LARGE
                if more:
                    limit.reschedule(pace.deadline(began, n_bytes))
                    arrivals.grew(arrival, len(chunk))
    except TimeoutError:
        return NO_ROOM if arrival.is_given_up else TOO_SLOW
    finally:
        arrivals.end(arrival)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
