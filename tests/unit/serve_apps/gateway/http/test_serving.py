"""Serve's books stay right: who runs, who waits, what was answered and how it ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ray.serve._private.utils import Semaphore

from serve_apps.gateway.http import serving
from serve_apps.gateway.http.server import EXCHANGE
from serve_apps.gateway.http.serving import Books

HEADERS = {b"x-request-disconnect-disabled": b"?1"}


class Metrics:
    def __init__(self) -> None:
        self.n_ongoing = 0
        self.requests: list[dict[str, Any]] = []
        self.ingress: list[dict[str, Any]] = []

    def inc_num_ongoing_requests(self, metadata: Any) -> None:
        assert metadata.is_direct_ingress
        self.n_ongoing += 1

    def dec_num_ongoing_requests(self, metadata: Any) -> None:
        self.n_ongoing -= 1

    def record_request_metrics(self, **told: Any) -> None:
        self.requests.append(told)

    def record_ingress_request_metrics(self, **told: Any) -> None:
        self.ingress.append(told)


def replica(places: int = 2, timeout_s: float | None = None) -> Any:
    return SimpleNamespace(
        _metrics_manager=Metrics(),
        _semaphore=Semaphore(lambda: places),
        _deployment_id=SimpleNamespace(app_name="gateway", name="Gateway"),
        _http_options=SimpleNamespace(request_timeout_s=timeout_s),
        _route_prefix="/",
    )


def scope(status: int = 0) -> dict[str, Any]:
    return {"method": "POST", EXCHANGE: SimpleNamespace(status=status)}


async def test_a_request_holds_a_place_while_it_runs_and_is_counted_with_its_status() -> None:
    made = replica()
    seen: list[tuple[int, int]] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append((made._metrics_manager.n_ongoing, made._semaphore._value))
        scope[EXCHANGE].status = 404

    await Books(made, application)(scope(), None, None)
    assert seen == [(1, 1)]
    assert (made._metrics_manager.n_ongoing, made._semaphore._value) == (0, 0)
    [request], [ingress] = made._metrics_manager.requests, made._metrics_manager.ingress
    assert (request["is_error"], request["route"]) == (False, "/")
    assert (ingress["status_code"], ingress["is_error"], ingress["method"]) == ("404", True, "POST")
    assert (ingress["app_name"], ingress["deployment_name"]) == ("gateway", "Gateway")


async def test_a_request_that_fails_gives_its_place_back_and_is_an_error() -> None:
    made = replica()

    async def application(*_: Any) -> None:
        raise LookupError("a bug")

    with pytest.raises(LookupError):
        await Books(made, application)(scope(), None, None)
    assert (made._metrics_manager.n_ongoing, made._semaphore._value) == (0, 0)
    assert made._metrics_manager.requests[0]["exception_type"] == "LookupError"
    assert made._metrics_manager.ingress == []


async def test_without_a_free_place_serve_decides() -> None:
    made = replica(places=1)
    books = Books(made, None)
    assert books.take(HEADERS)
    await made._semaphore.acquire()
    assert not books.take(HEADERS)
    made._semaphore.release()
    assert books.take(HEADERS)


@pytest.mark.parametrize(
    "headers",
    [{}, {b"x-request-disconnect-disabled": b"?0"}, HEADERS | {b"x-request-timeout-seconds": b"1"}],
    ids=["not from our proxy", "watched by Serve", "limited by Serve"],
)
def test_what_needs_more_of_serve_takes_its_way(headers: dict[bytes, bytes]) -> None:
    assert not Books(replica(), None).take(headers)


def test_all_take_serves_way_under_a_time_limit_of_its() -> None:
    assert not Books(replica(timeout_s=30.0), None).take(HEADERS)


@pytest.mark.parametrize("lacking", ["_semaphore", "_metrics_manager", "_http_options", None])
async def test_a_serve_of_another_make_keeps_its_way(lacking: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    class Replica(SimpleNamespace):
        async def asgi(self, *_: Any) -> None: ...

    made = Replica(**vars(replica()))
    if lacking:
        delattr(made, lacking)
    server = SimpleNamespace(config=SimpleNamespace(http="auto"))

    async def start(*_: Any, **__: Any) -> Any:
        return None, server

    monkeypatch.setattr(serving.serve_replica, "start_asgi_http_server", start)
    serving.install(None)
    await serving.serve_replica.start_asgi_http_server(made.asgi, None)  # type: ignore[arg-type]
    assert (server.config.http == "auto") is (lacking is not None)
