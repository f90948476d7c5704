"""Reads bodies and writes answers for every resource.

A body is JSON whatever its Content-Type says, and is bounded before it is decoded. An invalid one is refused with a
pointer to the place; NaN and infinity are not JSON.
"""

import asyncio
import contextlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Header
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from whisperer.errors import Problem, ProblemsError, RequestError, TooLargeError, TooSlowError
from whisperer.ids import TenantId

MAX_BODY_BYTES = 512 * 1024
BODY_TIMEOUT_S = 30.0

IfMatch = Annotated[
    str | None, Header(max_length=1_000, description="the ETag that was read; 412 if it is another now")
]

TenantOf = Callable[..., Awaitable[TenantId]]
"""A dependency that returns the tenant's id."""

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


class Streamed(Response):
    """JSON that is produced in pieces, none of which is stored: pieces are made only as fast as the client takes them.

    A failure after the beginning closes the connection before the answer's end, which HTTP clients report.
    """

    media_type = "application/json"

    def __init__(self, begun: bytes, rest: AsyncGenerator[bytes]) -> None:
        super().__init__(headers={"Cache-Control": "no-store"})
        del self.headers["content-length"]
        self._begun, self._rest = begun, rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with contextlib.aclosing(self._rest) as rest:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await send({"type": "http.response.body", "body": self._begun, "more_body": True})
            async for piece in rest:
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def streamed(pieces: AsyncGenerator[bytes]) -> Streamed:
    """Return an answer in pieces. Raises what the first piece raises, so that this is answered like any error."""
    try:
        return Streamed(await anext(pieces), pieces)
    except BaseException:
        await pieces.aclose()
        raise


async def read_body(request: Request) -> bytes:
    """Return the whole body, bounded in bytes and in time. Raises TooLargeError and TooSlowError."""
    chunks: list[bytes] = []
    n_bytes = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            async for chunk in request.stream():
                n_bytes += len(chunk)
                if n_bytes > MAX_BODY_BYTES:
                    raise TooLargeError(f"a body holds {MAX_BODY_BYTES // 1024} KB at most")
                chunks.append(chunk)
    except TimeoutError:
        raise TooSlowError(f"the body did not arrive within {BODY_TIMEOUT_S:g} s; send it again") from None
    return b"".join(chunks)


async def read_json(request: Request) -> Any:
    """Return the decoded body. Raises RequestError (`malformed_json`) in addition."""
    body = await read_body(request)
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise RequestError("this JSON is nested too deep to be read", code="malformed_json") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise RequestError(f"this is not JSON: {error}", code="malformed_json") from None


async def read_as(request: Request, kind: type[Value]) -> Value:
    """Return the body as a struct. Raises InvalidBodyError in addition."""
    decoded = await read_json(request)
    try:
        return msgspec.convert(decoded, kind)
    except msgspec.ValidationError as error:
        message = str(error)
        place = _PLACE.search(message)
        pointer = "" if place is None else place[1].replace(".", "/").replace("[", "/").replace("]", "")
        raise InvalidBodyError(pointer, _PLACE.sub("", message)) from None


async def read_named(request: Request) -> tuple[str, bool, dict[str, Any]]:
    """Return the name, whether to publish at once (false by default), and the rest of a body that creates something."""
    body = await read_object(request)
    name = body.pop("name", None)
    if not isinstance(name, str):
        raise InvalidBodyError("/name", "say its name, as a text")
    return name, take_flag(body, "publish"), body


async def read_object(request: Request) -> dict[str, Any]:
    """Return the body, which must be a JSON object."""
    body = await read_json(request)
    if not isinstance(body, dict):
        raise InvalidBodyError("", "write an object")
    return body


def take_flag(body: dict[str, Any], name: str) -> bool:
    """Remove a flag from a body and return it; false by default."""
    flag = body.pop(name, False)
    if not isinstance(flag, bool):
        raise InvalidBodyError(f"/{name}", "write true or false")
    return flag


def described(schema: str, example: Any, answers: Any = None) -> dict[str, Any]:
    """Return the OpenAPI of a body, with examples, by its schema's name (:mod:`serve_apps.gateway.routes.openapi`)."""
    told: dict[str, Any] = {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}},
        }
    }
    return told if answers is None else told | answered(answers)


def answered(example: Any) -> dict[str, Any]:
    """Return the OpenAPI of an answer, from an example."""
    return {"responses": {"200": {"description": "Done", "content": {"application/json": {"example": example}}}}}
