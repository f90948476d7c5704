"""Bodies of control calls on their way in: as fast, as small and as few as ingestion's, on their sender's account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI, Request
from starlette.responses import Response

from serve_apps.gateway.http import problems
from serve_apps.gateway.http.arrivals import ADDRESS_BODIES, Arrivals, BodyPace
from serve_apps.gateway.http.connection import HEADER
from serve_apps.gateway.http.exchange import MAX_BODY_BYTES, answer, read_json
from serve_apps.gateway.http.hang_up import EndsWithItsCaller
from serve_apps.gateway.http.paced import Paced

PATIENT = BodyPace(3_600.0, 1.0, 3_600.0)
SECRET = "s"


class Control:
    """A route that reads its body and one that does not, behind what holds bodies to their pace."""

    def __init__(self, pace: BodyPace = PATIENT, *, max_bytes: int = 10**9, max_bodies: int = 10**6) -> None:
        self.arrivals = Arrivals(max_bytes, max_bodies)
        app = FastAPI()
        problems.install(app)

        @app.post("/read")
        async def read(request: Request) -> Response:
            return answer(await read_json(request))

        @app.post("/ignore")
        async def ignore(request: Request) -> Response:
            return answer("ok")

        self.app: Any = EndsWithItsCaller(Paced(app, self.arrivals, pace, SECRET))

    async def post(self, body: Any, *, path: str = "/read", address: str = "192.0.2.1") -> httpx.Response:
        headers = {HEADER.decode(): f"{SECRET} {address}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self.app), base_url="http://x") as http:
            return await http.post(path, content=body, headers=headers)

    @asynccontextmanager
    async def hanging(self, n: int, part: bytes = b" ", *, address: str = "192.0.2.1") -> AsyncIterator[list[Any]]:
        """So many bodies that have begun to arrive, and that never end."""

        async def post(taken: asyncio.Event) -> httpx.Response:
            async def body() -> AsyncIterator[bytes]:
                yield part
                taken.set()
                await asyncio.Event().wait()

            return await self.post(body(), address=address)

        tasks = []
        for _ in range(n):
            taken = asyncio.Event()
            tasks.append(asyncio.ensure_future(post(taken)))
            await taken.wait()
        try:
            yield tasks
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def nothing() -> AsyncIterator[bytes]:
    await asyncio.Event().wait()
    yield b""


async def test_a_body_is_read_whole_and_leaves_nothing_behind() -> None:
    control = Control()

    async def body() -> AsyncIterator[bytes]:
        for part in (b'{"a"', b":", b"1}"):
            yield part

    assert (await control.post(body())).json() == {"a": 1}
    assert (control.arrivals.n_bodies, control.arrivals.n_bytes) == (0, 0)


async def test_a_body_that_does_not_begin_or_falls_behind_is_a_408() -> None:
    for pace, part in (
        (BodyPace(0.0, 1.0, 60.0), None),
        (BodyPace(0.01, 1e9, 60.0), b"{"),
        (BodyPace(9.0, 1e-3, 0.01), b"{"),
    ):
        control = Control(pace)

        async def body(part: bytes | None = part) -> AsyncIterator[bytes]:
            if part is not None:
                yield part
            await asyncio.Event().wait()

        late = await control.post(body())
        assert (late.status_code, late.json()["code"]) == (408, "request_timeout")
        assert (control.arrivals.n_bodies, control.arrivals.n_bytes) == (0, 0)


async def test_an_address_with_too_many_bodies_under_way_loses_its_oldest_and_others_go_on() -> None:
    control = Control()
    async with (
        control.hanging(ADDRESS_BODIES) as own,
        control.hanging(1, address="192.0.2.2") as others,
        control.hanging(1),
    ):
        refused = await own[0]
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert not any(task.done() for task in [*own[1:], *others])
    assert (control.arrivals.n_bodies, control.arrivals.n_bytes) == (0, 0)


async def test_what_all_hold_together_is_bounded_and_the_longest_on_its_way_pays() -> None:
    control = Control(max_bytes=1_000)
    async with (
        control.hanging(1, b" " * 600) as first,
        control.hanging(1, b" " * 300, address="192.0.2.2") as second,
        control.hanging(1, b" " * 300, address="192.0.2.3"),
    ):
        assert (await first[0]).status_code == 503
        assert not second[0].done()
        assert control.arrivals.n_bytes == 600


async def test_a_body_that_nobody_reads_is_on_nobodys_account() -> None:
    control = Control(BodyPace(0.0, 1.0, 0.0))
    assert (await control.post(b"{}", path="/ignore")).status_code == 200
    assert control.arrivals.n_bodies == 0


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_taken_in() -> None:
    control = Control()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=control.app), base_url="http://x") as http:
        length = {"Content-Length": str(MAX_BODY_BYTES + 1)}
        refused = await asyncio.wait_for(http.post("/read", content=nothing(), headers=length), 10)
    assert (refused.status_code, refused.json()["code"]) == (413, "body_too_large")
