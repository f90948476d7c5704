"""Carries out many statements of one call, each by itself: what is wrong with one keeps none of the others back.

A body is a JSON array, or JSON Lines (NDJSON) where it does not begin with `[`. Each statement is answered at its place
with the status and the answer, or the problem, that a call of its own would have had; the call itself is 200 however
many were refused. It costs what the single calls cost together: from the statement on that the rate does not cover, all
are answered 429 without being tried. So are those, with 503, whose turn does not come within :data:`TIME_LIMIT_S`.
Statements of one subject are carried out in the order in which they are written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from serve_apps.gateway.http.access import Access
from serve_apps.gateway.http.exchange import InvalidBodyError, convert, read_body
from serve_apps.gateway.http.problems import refusal, unexpected
from whisperer.access.permissions import Permission
from whisperer.errors import RequestError, TooManyError, UnavailableError, WhispererError

AT_ONCE = 16
"""Subjects whose statements are carried out at the same time, for one call."""
TIME_LIMIT_S = 25.0

Statement = TypeVar("Statement")


class Result(msgspec.Struct, kw_only=True):
    """What became of the statement at ``index``: ``result`` as a call of its own answers, or else ``problem``."""

    index: int
    status: int
    result: Any = msgspec.UNSET
    problem: Any = msgspec.UNSET


class Results(msgspec.Struct, kw_only=True):
    """What became of every statement, in their order."""

    n_done: int
    n_refused: int
    results: list[Result]


async def read_statements(request: Request, most: int) -> list[Any]:
    """Return the statements of a body, 1 to ``most``. Raises RequestError (`malformed_json`) for a line that is no
    JSON, and InvalidBodyError.
    """
    body = (await read_body(request)).strip()
    if body.startswith(b"["):
        found = _decoded(body, "this")
    else:
        lines = enumerate(body.splitlines(), 1)
        found = [_decoded(line, f"line {number}") for number, line in lines if line.strip()]
    if not 1 <= len(found) <= most:
        raise InvalidBodyError("", f"write 1 to {most:,} statements, as an array or one a line; there are {len(found)}")
    return list(found)


def _decoded(text: bytes, what: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise RequestError(f"{what} is not JSON: {error}", code="malformed_json") from None


async def carry_out(
    request: Request,
    access: Access,
    permission: Permission,
    statements: Sequence[Any],
    kind: type[Statement],
    do: Callable[[Statement], Awaitable[Any]],
    subject: Callable[[Statement], Hashable],
    *,
    status: int = 200,
    clock: Callable[[], float] = time.monotonic,
) -> Results:
    """Carry out every statement and return what became of each.

    Parameters
    ----------
    kind : of a statement, a struct or a dict
    do : carries out one, and returns its answer
    subject : what a statement is about
    status : of one that was carried out
    """
    ends_at = clock() + TIME_LIMIT_S
    results: list[Result | None] = [None] * len(statements)
    turns: dict[Hashable, list[tuple[int, Statement]]] = {}
    refusing: TooManyError | None = None
    for index, written in enumerate(statements):
        try:
            if index and refusing is None:  # the first one is paid for by the call
                await access.charge(request, permission)
            if refusing is not None:
                raise refusing
            stated = convert(written, kind)
            turns.setdefault(subject(stated), []).append((index, stated))
        except TooManyError as error:
            refusing = error
            results[index] = _refused(request, index, error)
        except WhispererError as error:
            results[index] = _refused(request, index, error)
    at_once = asyncio.Semaphore(AT_ONCE)

    async def in_turn(mine: list[tuple[int, Statement]]) -> None:
        async with at_once:
            for index, stated in mine:
                results[index] = await one(index, stated)

    async def one(index: int, stated: Statement) -> Result:
        try:
            if clock() >= ends_at:
                raise UnavailableError("its turn did not come in time; send it again", retry_after_s=1.0)
            return Result(index=index, status=status, result=await do(stated))
        except WhispererError as error:
            return _refused(request, index, error)
        except Exception as error:
            response = unexpected(request, error)
            return Result(index=index, status=response.status_code, problem=msgspec.Raw(bytes(response.body)))

    await asyncio.gather(*(in_turn(mine) for mine in turns.values()))
    shown = [one for one in results if one is not None]
    n_done = sum(one.status < 400 for one in shown)
    return Results(n_done=n_done, n_refused=len(shown) - n_done, results=shown)


def _refused(request: Request, index: int, error: WhispererError) -> Result:
    response = refusal(request, error)
    return Result(index=index, status=response.status_code, problem=msgspec.Raw(bytes(response.body)))
