"""Reads the bodies of uploads, which are larger than others: items of a catalogue, codes of a coupon pool.

A body may be gzip, which is recognised by its magic bytes, so that a whole file fits into one call. It is never
unpacked beyond its limit.
"""

from __future__ import annotations

import re
import zlib
from typing import Any

from starlette.requests import Request

from serve_apps.gateway.http.documented import JSON, NDJSON, PLACE
from serve_apps.gateway.http.exchange import MAX_BODY_BYTES, read_body
from whisperer.errors import RequestError, TooLargeError
from whisperer.events.decompress import GZIP_MAGIC

MAX_SENT_BYTES = 3 << 20
"""As it is sent; one address may have little more on its way (:mod:`.arrivals`)."""
MAX_UPLOAD_BYTES = 16 << 20
"""Unpacked."""
CSV = "text/csv"

_GZIP_WINDOW = 31
_PATH = re.compile(r"/(?:v1|internal/tenants/[^/]+)/(?:catalogues/[^/]+/items|coupon-pools/[^/]+/codes)")


def most_of(method: str, path: str) -> int:
    """Return the most bytes that the body of a call may have."""
    return MAX_SENT_BYTES if method == "POST" and _PATH.fullmatch(path) else MAX_BODY_BYTES


async def read_upload(request: Request) -> tuple[bytes, str]:
    """Return the body, unpacked, and its media type. Raises TooLargeError and RequestError (`malformed_gzip`)."""
    body = await read_body(request, MAX_SENT_BYTES)
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    return unpacked(body), media_type


def unpacked(body: bytes) -> bytes:
    """Return a body without gzip. Raises TooLargeError and RequestError (`malformed_gzip`)."""
    if not body.startswith(GZIP_MAGIC):
        return body
    member = zlib.decompressobj(_GZIP_WINDOW)
    try:
        found = member.decompress(body, MAX_UPLOAD_BYTES + 1)
    except zlib.error:
        raise _corrupt() from None
    if len(found) > MAX_UPLOAD_BYTES:
        raise TooLargeError(f"an upload holds {MAX_UPLOAD_BYTES >> 20} MB at most, unpacked")
    if not member.eof or member.unused_data.strip(b"\0"):
        raise _corrupt()
    return found


def described_upload(schema: str, example: Any, lines: str, table: str) -> dict[str, Any]:
    """Return the OpenAPI of an upload: an array of a schema, JSON Lines, or CSV."""
    array = {"type": "array", "items": {"$ref": PLACE + schema}}
    said = f"at most {MAX_SENT_BYTES >> 20} MB as sent and {MAX_UPLOAD_BYTES >> 20} MB unpacked; may be gzip"
    content = {
        JSON: {"schema": array, "example": example},
        NDJSON: {"schema": {"type": "string"}, "example": lines},
        CSV: {"schema": {"type": "string"}, "example": table},
    }
    return {"requestBody": {"required": True, "description": said, "content": content}}


def _corrupt() -> RequestError:
    return RequestError("the gzip data is truncated or corrupt", code="malformed_gzip")
