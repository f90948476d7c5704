"""Frame what goes over a socket between two processes of one machine.

A frame is 8 bytes, little-endian (length of the rest, length of the head), then a head in msgpack, then a tail of raw
bytes. A request's head is (call id, traces, method, arguments), its tail the last argument, unless it is empty; an
answer's is (call id, failure or "", answer), without a tail. The first frame on a connection is the token alone,
answered by :data:`WELCOME`.
"""

from __future__ import annotations

import struct
from typing import Any

import msgspec

PREFIX = struct.Struct("<II")
MOST_BYTES = 256 << 20
MOST_TOKEN_BYTES = 1 << 10

Request = tuple[int, list[tuple[str, str]], str, list[Any]]
Answer = tuple[int, str, Any]

NO_SUCH_CALL = "there is no "
"""How the failure of a call to a method begins that does not exist there."""

WELCOME: Answer = (0, "", None)

_encode = msgspec.msgpack.Encoder().encode
decode_request = msgspec.msgpack.Decoder(Request).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def frame(head: Any, tail_bytes: int = 0) -> bytes:
    """Return the frame up to its tail, which follows and is ``tail_bytes`` long."""
    encoded = _encode(head)
    return PREFIX.pack(len(encoded) + tail_bytes, len(encoded)) + encoded
