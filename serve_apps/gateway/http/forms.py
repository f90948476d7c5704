"""Reads the forms that browsers and OAuth clients send."""

from __future__ import annotations

from urllib.parse import parse_qsl

from starlette.requests import Request

from serve_apps.gateway.http.exchange import read_body
from whisperer.errors import RequestError

MEDIA_TYPE = "application/x-www-form-urlencoded"
MAX_FIELDS = 20


def is_form(request: Request) -> bool:
    """Return whether the body says that it is a form."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower() == MEDIA_TYPE


async def read_form(request: Request) -> dict[str, str]:
    """Return the fields of a form, each of which is there once. Raises RequestError, TooLargeError, TooSlowError."""
    body = await read_body(request)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS)
    except ValueError:
        raise RequestError(f"this is not a form in UTF-8 with at most {MAX_FIELDS} fields") from None
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise RequestError("a field is there twice")
    return fields
