"""The load generator: every prebuilt request is sent once, answers are counted for what they are."""

from __future__ import annotations

import http.server
import shutil
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks import client, generator
from tests.benchmarks.load import http_request
from tests.benchmarks.prebuilt import Requests, Walked, spans

N = 60


class _Sink(http.server.BaseHTTPRequestHandler):
    """Remembers bodies; refuses every tenth."""

    protocol_version = "HTTP/1.1"
    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.bodies.append(body)
        self.send_response(503 if body.endswith(b"7") else 200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def sink() -> Iterator[http.server.ThreadingHTTPServer]:
    _Sink.bodies = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # wrk breaks off when its time is over
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def requests(tmp_path: Path) -> Requests:
    return Requests.write(tmp_path / "requests", (http_request("/", b"body %d" % n, "none") for n in range(N)))


def test_a_file_of_requests_reads_as_it_was_written(requests: Requests) -> None:
    walked = Walked(requests.path)
    assert (len(walked), requests.n) == (N, N)
    assert bytes(walked[41]).endswith(b"\r\n\r\nbody 41")
    assert len(walked[:7]) == 7


def test_at_a_steady_rate_every_request_is_sent_once(sink: http.server.ThreadingHTTPServer, requests: Requests) -> None:
    load = generator.steady(requests, sink.server_port, per_s=N * 4, seconds=0.25, connections=4)
    assert sorted(_Sink.bodies) == sorted(b"body %d" % n for n in range(N))
    assert (load.answered, load.acknowledged, load.trouble()) == (N, N - 6, {"refused": 6})


def test_a_steady_rate_asks_for_enough_requests(requests: Requests) -> None:
    with pytest.raises(ValueError, match="do not last"):
        generator.steady(requests, 1, per_s=100, seconds=1)


@pytest.mark.skipif(shutil.which("wrk") is None, reason="wrk is not installed here")
def test_wrk_sends_no_request_twice_and_stops_when_they_are_used_up(
    sink: http.server.ThreadingHTTPServer, requests: Requests
) -> None:
    load = generator.saturate(requests, sink.server_port, connections=3, seconds=1)
    assert len(_Sink.bodies) == len(set(_Sink.bodies)) >= N - 4  # wrk looks at the first and sends it to nobody
    assert load.generator == "wrk"
    assert 0 < load.acknowledged <= load.answered <= load.taken <= N
    assert load.seconds < 1


def test_the_compiled_client_finds_the_same_requests(requests: Requests) -> None:
    data, walked = np.fromfile(requests.path, np.uint8), Walked(requests.path)
    found = [data[first:last].tobytes() for first, last in zip(*spans(data), strict=True)]
    assert found == [bytes(one) for one in walked]


def test_the_compiled_client_sends_each_request_once_and_counts_answers_for_what_they_are(
    sink: http.server.ThreadingHTTPServer, requests: Requests
) -> None:
    found = client.load(requests.path, sink.server_port, connections=4, seconds=5.0, per_s=N * 4)
    assert sorted(_Sink.bodies) == sorted(b"body %d" % n for n in range(N))
    assert {name: found[name] for name in ("answered", "refused", "broken", "timeouts", "taken")} == {
        **{"answered": N, "refused": 6, "broken": 0},
        **{"timeouts": 0, "taken": N},
    }
    assert 0 < found["p50_ms"] <= found["p95_ms"] <= found["max_ms"]


def test_the_compiled_client_begins_again_until_its_time_is_over(
    sink: http.server.ThreadingHTTPServer, requests: Requests
) -> None:
    found = client.load(requests.path, sink.server_port, connections=2, seconds=1.5, again=True)
    assert found["taken"] == found["answered"] == len(_Sink.bodies) > N
    assert set(_Sink.bodies) == {b"body %d" % n for n in range(N)}


def test_the_compiled_client_says_what_was_not_answered(requests: Requests) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        ended = threading.Thread(target=lambda: deaf.accept()[0].close())
        ended.start()
        found = client.load(requests.path, deaf.getsockname()[1], connections=1, seconds=0.2)
        ended.join()
    assert (found["answered"], found["taken"]) == (0, 1)
    assert found["broken"] + found["timeouts"] == 1
