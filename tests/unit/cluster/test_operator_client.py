"""The client against a real HTTP server that plays the gateway's `/internal` endpoints."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from cluster.cli.resources import all_pages, through
from cluster.launch import pids
from cluster.launch.installation import Installation
from cluster.operator_client import Operator
from whisperer.errors import ConflictError, NotFoundError, RequestError, UnavailableError, WhispererError


class Gateway:
    def __init__(self) -> None:
        self.answers: dict[str, tuple[int, object]] = {}
        self.requests: list[tuple[str, str, str, object]] = []
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                n_bytes = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(n_bytes)) if n_bytes else None
                gateway.requests.append((self.command, self.path, self.headers["authorization"], body))
                status, document = gateway.answers.get(
                    f"{self.command} {self.path}", (404, {"detail": "no such thing"})
                )
                raw = b"" if document is None else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815  names that http.server calls

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    made.thread.start()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


@pytest.fixture
def running(configured: Installation, gateway: Gateway) -> Installation:
    """A record whose two head processes are alive: this test's own process stands for both."""
    own = pids.identify(os.getpid())
    assert own is not None
    configured.head = [own, own]
    configured.url = gateway.url
    configured.save()
    return configured


@pytest.fixture
def operator(running: Installation) -> Iterator[Operator]:
    with Operator(Path(running.data_dir)) as made:
        yield made


def test_it_presents_the_operators_token(operator: Operator, gateway: Gateway, running: Installation) -> None:
    gateway.answers["GET /internal/status"] = (200, {"tenants": {}, "shards": []})
    assert operator.get("status") == {"tenants": {}, "shards": []}
    assert gateway.requests == [("GET", "/internal/status", f"Bearer {running.operator_token}", None)]


def test_an_id_with_a_slash_stays_one_step_of_the_path(operator: Operator, gateway: Gateway) -> None:
    gateway.answers["DELETE /internal/tenants/acme/users/a%2Fb%3F%20%C3%A9"] = (204, None)
    assert operator.delete("tenants", "acme", "users", "a/b? é") is None


def test_it_puts_bodies_and_asks_with_a_query(operator: Operator, gateway: Gateway) -> None:
    gateway.answers["PUT /internal/tenants/acme/segments/a"] = (200, {"version": 1})
    gateway.answers["GET /internal/tenants/acme/campaigns/a?version=2"] = (200, {"version": 2})
    assert operator.put("tenants", "acme", "segments", "a", body={"predicate": {}}) == {"version": 1}
    assert operator.get("tenants", "acme", "campaigns", "a", version=2) == {"version": 2}
    assert gateway.requests[0][3] == {"predicate": {}}


def test_a_list_is_read_to_its_last_page(operator: Operator, gateway: Gateway) -> None:
    gateway.answers["GET /internal/tenants/acme/campaigns"] = (200, {"data": [{"name": "a"}], "next_cursor": "YQ"})
    gateway.answers["GET /internal/tenants/acme/campaigns?cursor=YQ"] = (200, {"data": [], "next_cursor": None})
    assert all_pages(operator, "tenants", "acme", "campaigns") == [{"name": "a"}]


def test_a_change_goes_through_the_server_while_it_runs(running: Installation, gateway: Gateway) -> None:
    gateway.answers["POST /internal/tenants/acme/campaigns/a/pause"] = (200, {"status": "paused"})
    found = through(
        Path(running.data_dir),
        lambda operator: operator.post("tenants", "acme", "campaigns", "a", "pause"),
        lambda plane: pytest.fail("the control plane was changed behind the server's back"),
    )
    assert found == {"status": "paused"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestError),
        (404, NotFoundError),
        (409, ConflictError),
        (422, RequestError),
        (500, WhispererError),
        (503, UnavailableError),
    ],
)
def test_a_refusal_becomes_the_products_error(
    operator: Operator, gateway: Gateway, status: int, kind: type[WhispererError]
) -> None:
    problem = {"code": "c", "detail": "why", "errors": [{"pointer": "/a", "message": "bad"}]}
    gateway.answers["POST /internal/shards/move"] = (status, problem)
    with pytest.raises(kind, match=r"why\n  /a: bad") as caught:
        operator.post("shards", "move", body={"to": 1})
    assert caught.value.code == "c"
    assert gateway.requests[0][3] == {"to": 1}


def test_an_installation_that_is_down_is_not_called(configured: Installation) -> None:
    with pytest.raises(UnavailableError, match="whisperer up"):
        Operator(Path(configured.data_dir))


def test_a_server_that_does_not_answer_is_unavailable(running: Installation, gateway: Gateway) -> None:
    running.url = "http://127.0.0.1:9"
    running.save()
    with Operator(Path(running.data_dir)) as operator, pytest.raises(UnavailableError, match="does not answer"):
        operator.get("status")
