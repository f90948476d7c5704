"""Reads lines that are already Segment events (`--segment`), checking only what order and identity need.

Lines are sent as they are. A line keeps its own messageId; one without gets ``<file>-<row>``, added at the end so that
it wins over a null one. Everything else about the event is for the gateway to judge.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from .chunk import MappedChunk, Outgoing, Reject


class _Address(msgspec.Struct, gc=False):
    userId: str | int | float | None = None  # noqa: N815
    anonymousId: str | int | float | None = None  # noqa: N815
    messageId: str | int | float | None = None  # noqa: N815


_decode = msgspec.json.Decoder(_Address).decode


def events_of_lines(lines: list[tuple[int, bytes]], file_id: str) -> MappedChunk:
    """Turn numbered lines into events; a line that cannot be read is a reject."""
    mapped = MappedChunk(len(lines), [], Counter(), [])
    for row, line in lines:
        try:
            address = _decode(line)
        except (msgspec.DecodeError, RecursionError) as error:  # ValidationError is a DecodeError
            mapped.rejects.append(Reject(row, "malformed_row", f"the line is not a Segment event: {error}"))
            continue
        message_id = address.messageId
        if message_id is None or message_id == "":
            message_id = f"{file_id}-{row}"
            line = b'%b%b"messageId":"%b"}' % (line[:-1], b"" if _is_empty(line) else b",", message_id.encode())
        user = address.userId if address.userId not in (None, "") else address.anonymousId
        mapped.events.append(Outgoing(row, str(user), str(message_id), line))
    return mapped


def _is_empty(line: bytes) -> bool:
    return not line[1:-1].strip()
