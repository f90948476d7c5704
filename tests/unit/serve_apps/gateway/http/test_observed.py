"""What every request gets: an id in its answer, a trace in the log, its place in the metrics."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from actors.calls.call_log import Calls
from actors.calls.directory import DirectoryCalls
from actors.calls.shard_status import CallsState
from actors.telemetry import tracing
from serve_apps.gateway.http.observed import ROUTE, Observed
from serve_apps.gateway.metrics.counts import ReplicaCounts
from serve_apps.gateway.metrics.measures import Measures
from serve_apps.gateway.metrics.replicas import Replicas
from tests.support.gateway_world import OPERATOR, World
from whisperer.errors import UnavailableError

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
TRACEPARENT = f"00-{TRACE_ID}-00f067aa0ba902b7-01"


@pytest.fixture
def measures() -> Measures:
    return Measures(ReplicaCounts(10), "r1")


def client(application: Any, measures: Measures) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=Observed(application, measures), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")


@pytest.fixture
def app() -> FastAPI:
    made = FastAPI()

    users = APIRouter()

    @users.get("/users/{user_id:path}")
    async def user(user_id: str) -> dict[str, Any]:
        return {"traces": tracing.current()}

    for prefix in ("/v1", "/internal/tenants/{tenant}"):
        made.include_router(users, prefix=prefix)

    @made.get("/livez")
    async def livez() -> str:
        return "ok"

    return made


async def test_the_clients_request_id_comes_back_and_work_runs_under_it(app: FastAPI, measures: Measures) -> None:
    async with client(app, measures) as http:
        answer = await http.get("/v1/users/u1", headers={"X-Request-Id": "order-7", "Traceparent": TRACEPARENT})
    assert answer.headers.get_list("x-request-id") == ["order-7"]
    assert answer.json() == {"traces": [["order-7", TRACE_ID]]}
    assert tracing.current() == ()


async def test_a_request_without_an_id_gets_one(app: FastAPI, measures: Measures) -> None:
    async with client(app, measures) as http:
        answers = [await http.get("/v1/users/u1") for _ in range(2)]
    ids = {answer.headers["x-request-id"] for answer in answers}
    assert len(ids) == 2
    assert {answer.json()["traces"][0][0] for answer in answers} == ids


async def test_a_hostile_id_is_not_sent_back(app: FastAPI, measures: Measures) -> None:
    async with client(app, measures) as http:
        answer = await http.get("/v1/users/u1", headers={"x-request-id": "a@b.example"})
    assert "@" not in answer.headers["x-request-id"]


async def test_what_serve_sends_back_is_not_sent_twice(app: FastAPI, measures: Measures) -> None:
    transport = httpx.ASGITransport(app=Observed(app, measures, is_echoed=True))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as http:
        usable = await http.get("/v1/users/u1", headers={"x-request-id": "order-7"})
        hostile = await http.get("/v1/users/u1", headers={"x-request-id": "a@b.example"})
    assert "x-request-id" not in usable.headers
    assert usable.json()["traces"][0][0] == "order-7"
    assert hostile.headers["x-request-id"] == hostile.json()["traces"][0][0]


async def test_an_id_that_the_application_gave_is_not_doubled(measures: Measures) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Request-ID", b"its own")]})
        await send({"type": "http.response.body", "body": b""})

    async with client(inner, measures) as http:
        answer = await http.get("/", headers={"x-request-id": "mine"})
    assert answer.headers.get_list("x-request-id") == ["mine"]


async def test_routes_are_templates_whatever_paths_are_asked_for(app: FastAPI, measures: Measures) -> None:
    async with client(app, measures) as http:
        for n in range(50):
            await http.get(f"/v1/users/u{n}")
            await http.get(f"/made/up/{n}")
            await http.get(f"/internal/tenants/t{n}/users/u")
        await http.get("/livez")
        await http.request("BREW", "/v1/users/u1")
    assert measures.requests == {
        ("/v1/users/{user_id}", "GET", 200): 50,
        ("/internal/tenants/{tenant}/users/{user_id}", "GET", 200): 50,
        ("/livez", "GET", 200): 1,
        ("other", "GET", 404): 50,
        ("/v1/users/{user_id}", "other", 405): 1,
    }
    assert measures.report().in_flight == 0


async def test_an_application_names_its_route_and_the_bodys_size_counts(measures: Measures) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        scope[ROUTE] = "/v1/batch"
        assert measures.n_in_flight == 1
        await send({"type": "http.response.start", "status": 503, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async with client(inner, measures) as http:
        await http.post("/v1/b", content=b"x" * 1000)
    report = measures.report()
    assert report.requests == [("/v1/batch", "POST", 503, 1)]
    assert report.body_bytes.sum == 1000
    assert sum(report.request_seconds["/v1/batch"].counts) == 1


async def test_an_application_that_fails_counts_as_500(measures: Measures) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("a bug")

    async with client(broken, measures) as http:
        await http.get("/")
    assert measures.requests == {("other", "GET", 500): 1}
    assert measures.n_in_flight == 0


async def test_a_500_carries_the_trace_id_that_the_log_has(
    world: World, measures: Measures, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken() -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(world.parts.overview, "status", broken)
    async with client(world.app, measures) as http:
        headers = {"Authorization": f"Bearer {OPERATOR}", "traceparent": TRACEPARENT}
        answer = await http.get("/internal/status", headers=headers)
    assert answer.status_code == 500
    assert answer.json()["trace_id"] == TRACE_ID
    assert [getattr(r, "trace_id", None) for r in caplog.records if "failed" in r.message] == [TRACE_ID]


# -- the other end: the shard that handles the call ----------------------------------------------------------------------


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> Iterator[list[tuple[str, str]]]:
    """(message, request ids of the moment) of every line."""
    found: list[tuple[str, str]] = []

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append((record.getMessage(), ",".join(t.request_id for t in tracing.current())))

    handler = Noting()
    logger = logging.getLogger("whisperer.shard")
    caplog.set_level(logging.INFO, "whisperer.shard")
    logger.addHandler(handler)
    yield found
    logger.removeHandler(handler)


async def test_what_a_shard_says_of_a_call_is_under_the_callers_request(said: list[tuple[str, str]]) -> None:
    calls = Calls()

    async def refuse(*_: object) -> tuple[str, float]:
        assert calls.n_under_way == 1
        return "overloaded", 1.0

    async def fail(*_: object) -> None:
        raise ValueError("a bug")

    async def away(*_: object) -> None:
        raise UnavailableError("not now")

    async def done(*_: object) -> tuple[str, None]:
        return "", None

    traces = [("r1", "t1"), ("r2", "t2")]
    assert await calls.run(traces, "ingest", refuse, (1, 2)) == ("overloaded", 1.0)
    with pytest.raises(ValueError, match="a bug"):
        await calls.run([("r3", "t3")], "user", fail, ())
    with pytest.raises(UnavailableError):
        await calls.run([("r4", "t4")], "erase", away, ())
    await calls.run([], "ingest", done, ())
    assert said == [
        ("ingest was refused: overloaded", "r1,r2"),
        ("user failed", "r3"),
        ("erase was not done: not now", "r4"),
    ]
    answered = [("ingest", "overloaded", 1), ("user", "failed", 1), ("erase", "failed", 1), ("ingest", "", 1)]
    assert calls.state() == CallsState(0, answered)


async def test_refusals_by_the_thousand_are_one_line(said: list[tuple[str, str]]) -> None:
    calls = Calls()

    async def refuse() -> str:
        return "stale_map"

    for _ in range(1000):
        await calls.run([], "deliver", refuse, ())
    assert len(said) == 1
    assert calls.answered["deliver", "stale_map"] == 1000


async def test_answers_that_are_no_status_are_done_and_odd_ones_are_other() -> None:
    calls = Calls()
    for answer in (None, {}, [("a", 1)], ("", 1), "", (1, 2)):
        await calls.run([], "status", _answering(answer), ())
    await calls.run([], "status", _answering("made up"), ())
    assert calls.answered == {("status", ""): 6, ("status", "other"): 1}


def _answering(answer: object) -> Any:
    async def work() -> object:
        return answer

    return work


# -- replicas -------------------------------------------------------------------------------------------------------------


class Directory(DirectoryCalls):
    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[str, Mapping[str, Any]] = {}
        self.is_away = False

    async def exchange_reports(self, report: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        if self.is_away:
            raise UnavailableError("the directory is starting")
        self.kept[report["replica"]] = report
        return list(self.kept.values())


async def test_status_adds_up_what_all_replicas_rejected(world: World) -> None:
    world.tenant("acme")
    [(id, _)] = (await world.parts.overview.reload()).items()
    directory = Directory()
    ours, theirs = ReplicaCounts(1), ReplicaCounts(1)
    ours.rejected[id]["missing_identity"] = 2
    theirs.rejected[id]["missing_identity"] = 3
    await Replicas(directory, Measures(theirs, "b").report).reports()
    world.parts.overview._replicas = Replicas(directory, Measures(ours, "a").report)
    status = await world.parts.overview.status()
    assert status.tenants["acme"].events_rejected == {"missing_identity": 5}
    directory.is_away = True
    status = await world.parts.overview.status()
    assert status.tenants["acme"].events_rejected == {"missing_identity": 2}
