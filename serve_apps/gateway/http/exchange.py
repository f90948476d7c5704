"""Reads bodies and writes answers for every resource.

A body is JSON whatever its Content-Type says, and is bounded before it is decoded. An invalid one is refused with a
pointer to the place; NaN and infinity are not JSON.
"""

import contextlib
import re
from collections.abc import AsyncGenerator
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import quote

import msgspec
from fastapi import Header
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from whisperer.errors import Problem, ProblemsError, RequestError, TooLargeError

MAX_BODY_BYTES = 512 * 1024

IfMatch = Annotated[
    str | None, Header(max_length=1_000, description="the ETag that was read; 412 if it is another now")
]

IfNoneMatch = Annotated[
    Literal["*"] | None, Header(description="`*` writes only where nothing is there yet; 412 otherwise")
]

Value = TypeVar("Value")

_PLACE = re.compile(r" - at `(?:key in )?\$?(.*)`$")


class InvalidBodyError(ProblemsError):
    """The body is invalid. Answered with 422, like all errors that point to a place."""

    subject = "body"
    opening = ""

    def __init__(self, pointer: str, message: str) -> None:
        super().__init__([Problem(pointer=pointer, code=self.code, message=message)])

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.errors[0]["pointer"], self.errors[0]["message"])


def answer(value: Any, status: int = 200, *, etag: str | None = None) -> Response:
    """Return a value as JSON, with an ETag if given."""
    headers = {"Cache-Control": "no-store"} if etag is None else {"Cache-Control": "no-store", "ETag": etag}
    return Response(msgspec.json.encode(value), status, headers, media_type="application/json")


def made_at(request: Request, value: Any, name: str, *, etag: str | None = None) -> Response:
    """Return what was made below the path that was called, with its own path as Location."""
    found = answer(value, 201, etag=etag)
    found.headers["Location"] = f"{request.url.path}/{quote(name, safe='')}"
    return found


SHOWN_ONCE = "Shown-Once"
"""Marks an answer with a secret that is shown once: nothing keeps it, not even for a repeat of the call."""


def shown_once(value: Any, location: str, status: int = 201) -> Response:
    """Return a value with a secret that is never shown again, and the path of what was made."""
    made = answer(value, status)
    made.headers[SHOWN_ONCE] = "true"
    made.headers["Location"] = location
    return made


class Streamed(Response):
    """An answer in pieces, none of which is stored: they are made only as fast as the client takes them.

    A failure after the beginning closes the connection before the answer's end, which HTTP clients report.
    """

    def __init__(self, begun: bytes, rest: AsyncGenerator[bytes], media_type: str) -> None:
        super().__init__(headers={"Cache-Control": "no-store"}, media_type=media_type)
        del self.headers["content-length"]
        self._begun, self._rest = begun, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._rest) as rest:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self._begun, "more_body": True})
            async for piece in rest:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def streamed(pieces: AsyncGenerator[bytes], media_type: str = "application/json") -> Streamed:
    """Return an answer in pieces. Raises what the first piece raises, so that this is answered like any error."""
    try:
        return Streamed(await anext(pieces), pieces, media_type)
    except BaseException:
        await pieces.aclose()
        raise


async def read_body(request: Request, most: int = MAX_BODY_BYTES) -> bytes:
    """Return the whole body, of at most ``most`` bytes; :mod:`.paced` bounds it in time. Raises TooLargeError and, from
    there, TooSlowError and OverloadError.
    """
    too_large = TooLargeError(f"a body holds {most // 1024} KB at most")
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and len(announced) < 19 and int(announced) > most:
        raise too_large
    chunks: list[bytes] = []
    n_bytes = 0
    async for chunk in request.stream():
        n_bytes += len(chunk)
        if n_bytes > most:
            raise too_large
        chunks.append(chunk)
    return b"".join(chunks)


async def read_json(request: Request, absent: Any = msgspec.UNSET) -> Any:
    """Return the decoded body, or ``absent`` instead of an empty one. Raises RequestError (`malformed_json`) in
    addition.
    """
    body = await read_body(request)
    if not body and absent is not msgspec.UNSET:
        return absent
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise RequestError("this JSON is nested too deep to be read", code="malformed_json") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RequestError(f"this is not JSON: {error}", code="malformed_json") from None


async def read_as(request: Request, kind: type[Value], absent: Any = msgspec.UNSET) -> Value:
    """Return the body as a struct; an empty one is ``absent``, if given. Raises InvalidBodyError in addition."""
    return convert(await read_json(request, absent), kind)


def convert(decoded: Any, kind: type[Value]) -> Value:
    """Return JSON values as a struct. Raises InvalidBodyError with the place of what is wrong."""
    try:
        return msgspec.convert(decoded, kind)
    except msgspec.ValidationError as error:
        message = str(error)
        place = _PLACE.search(message)
        pointer = "" if place is None else place[1].replace(".", "/").replace("[", "/").replace("]", "")
        raise InvalidBodyError(pointer, _PLACE.sub("", message)) from None


async def read_object(request: Request) -> dict[str, Any]:
    """Return the body, which must be a JSON object."""
    body = await read_json(request)
    if not isinstance(body, dict):
        raise InvalidBodyError("", "write an object")
    return body


def take_flag(body: dict[str, Any], name: str, default: bool = False) -> bool:
    """Remove a flag from a body and return it."""
    flag = body.pop(name, default)
    if not isinstance(flag, bool):
        raise InvalidBodyError(f"/{name}", "write true or false")
    return flag
