"""Undo gzip within a fixed size (first step).

gzip is recognised by its magic bytes, which no JSON text can start with. The Content-Encoding header is not needed for
that and not trusted: a proxy may have unpacked the body and left the header. A body that claims gzip and is neither
gzip nor JSON fails in :mod:`~whisperer.events.parse`.

At most ``MAX_BODY_BYTES + 1`` bytes are ever inflated, so a bomb costs no more than an honest body.
"""

from __future__ import annotations

import zlib

from whisperer.events.refusals import Code, Refusal

MAX_BODY_BYTES = 500 * 1024  # the contract's "500 KB", before and after decompression; SDKs batch up to 475,000
GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 31  # zlib's code for: 32 KB window, gzip header and CRC required
_MAX_MEMBERS = 64  # RFC 1952 allows several members in a row; each costs a fresh window

TOO_LARGE = Refusal(Code.BODY_TOO_LARGE, f"the body is over {MAX_BODY_BYTES} bytes")
_CORRUPT = Refusal(Code.MALFORMED_JSON, "the gzip data is truncated or corrupt")


def decompress(body: bytes) -> bytes | Refusal:
    """Return the body as JSON text: inflated if it is gzip, otherwise unchanged."""
    if len(body) > MAX_BODY_BYTES:
        return TOO_LARGE
    if not body.startswith(GZIP_MAGIC):
        return body
    inflated = b""
    for _ in range(_MAX_MEMBERS):
        member = zlib.decompressobj(_GZIP_WINDOW)
        try:
            inflated += member.decompress(body, MAX_BODY_BYTES + 1 - len(inflated))
        except zlib.error:
            return _CORRUPT
        if len(inflated) > MAX_BODY_BYTES:
            return TOO_LARGE
        if not member.eof:
            return _CORRUPT
        body = member.unused_data.lstrip(b"\0")  # RFC 1952 allows zero padding after a member
        if not body:
            return inflated
    return _CORRUPT
