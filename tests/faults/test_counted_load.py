"""The load of the fault runs, against a server of a few lines: what it resends, what it remembers, what it calls disturbed."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.faults.counted_load import SLOW_S, Attempt, CountedLoad, Pace
from tests.support.stand import until

PACE = Pace(batches_per_s=200, batch=5, singles_per_s=50, users=4, clients=2, repeated=0.2, reordered=0.2)


class Server:
    """Answers every body 503 the first time it comes, then 200; remembers what it got."""

    def __init__(self) -> None:
        self.refused: set[bytes] = set()
        self.taken: Counter[bytes] = Counter()
        server, lock = self, threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                with lock:
                    first = body not in server.refused
                    server.refused.add(body)
                    if not first:
                        server.taken[body] += 1
                self.send_response(503 if first else 200)
                if first:
                    self.send_header("Retry-After", "0.01")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()


class Client:
    """What the load needs of a tenant."""

    def __init__(self, url: str) -> None:
        self.stand = self
        self.http = self
        self.url = url
        self.headers: dict[str, str] = {}


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def ids_in(body: bytes) -> list[str]:
    document: dict[str, Any] = json.loads(body)
    return [event["messageId"] for event in document.get("batch", [document])]


def test_what_is_refused_is_sent_again_as_it_was_until_it_is_told_yes(server: Server) -> None:
    with CountedLoad(Client(server.url), PACE) as load:  # type: ignore[arg-type]
        until(lambda: len(server.taken) > 30, "thirty requests are taken")
    assert server.refused == set(server.taken), "every refused body came again, unchanged"
    assert load.told.open == []
    assert load.told.ids == {id_ for body in server.taken for id_ in ids_in(body)}
    assert load.told.acknowledged.total() == load.told.n_events


def test_some_of_what_was_acknowledged_is_sent_again_and_some_comes_out_of_order(server: Server) -> None:
    with CountedLoad(Client(server.url), PACE) as load:  # type: ignore[arg-type]
        until(lambda: max(server.taken.values(), default=0) > 1, "a repeat")
        until(lambda: load.figures()["sent_out_of_order"] > 0, "a batch out of order")
    assert load.figures()["sent_again_on_purpose"] > 0


def test_no_message_id_is_used_twice(server: Server) -> None:
    with CountedLoad(Client(server.url), PACE):  # type: ignore[arg-type]
        until(lambda: len(server.taken) > 30, "thirty requests are taken")
    used = Counter(id_ for body in server.taken for id_ in ids_in(body))
    assert max(used.values()) == 1


def after(*attempts: Attempt, since: float, now: float) -> float:
    load = CountedLoad(Client(""), PACE)  # type: ignore[arg-type]
    load.attempts.extend(attempts)
    return load.disturbed_until(since, now) - since


def test_the_disturbance_ends_with_the_last_answer_that_failed_or_was_slow() -> None:
    fine = Attempt(10.0, 10.1, 200)
    refused = Attempt(11.0, 11.2, 503)
    held = Attempt(11.5, 15.0, 200)
    assert after(fine, since=10.0, now=20.0) == 0
    assert after(fine, refused, since=10.0, now=20.0) == pytest.approx(1.2)
    assert after(fine, refused, held, Attempt(16, 16.1, 200), since=10.0, now=20.0) == pytest.approx(5.0)


def test_a_request_that_hangs_disturbs_until_now() -> None:
    assert after(Attempt(10.0), since=10.0, now=10.0 + SLOW_S / 2) == 0
    assert after(Attempt(10.0), since=10.0, now=15.0) == pytest.approx(5.0)


def test_what_was_disturbed_before_the_fault_does_not_count() -> None:
    assert after(Attempt(5.0, 9.0, 500), since=10.0, now=11.0) == 0


def test_a_request_that_was_under_way_when_the_fault_came_does_count() -> None:
    assert after(Attempt(9.0, 12.0, "ReadError"), since=10.0, now=13.0) == pytest.approx(2.0)
