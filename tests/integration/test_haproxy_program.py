"""What HAProxy answers of its own accord, and what it lets through. The real HAProxy, on the lines of Ray's own
configuration."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from ray.serve._private import haproxy_templates

from cluster.launch import haproxy_program, readiness
from cluster.settings import load
from tests.support.stand import free_port, until

CONFIGURATION = """
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
{errors}
frontend http_frontend
    bind 127.0.0.1:{port}
    use_backend gone if {{ path /gone }}
    use_backend gateway if {{ path_beg /v1/ }}
    default_backend default_backend
backend gateway
    http-request return status 200 content-type text/plain lf-string "%[method]|%[req.hdr(x-whisperer-client)]|%[pathq]"
backend gone
    server nobody 127.0.0.1:1
{no_route}
"""


def no_route_lines() -> str:
    """Ray's own answer where no route matches, out of its template."""
    lines = haproxy_templates.HAPROXY_CONFIG_TEMPLATE.splitlines()
    at = lines.index("backend default_backend")
    return "\n".join(lines[at : at + 2])


def program_in(folder: Path, **server: Any) -> Path:
    settings = load(folder, environment={})
    limits = msgspec.structs.replace(settings.limits, body_first_byte_s=0.3, address_connections=5)
    return haproxy_program.make(folder, msgspec.structs.replace(settings.server, **server), limits, "secret")


def error_lines() -> str:
    lines = haproxy_templates.HAPROXY_CONFIG_TEMPLATE.splitlines()
    return "\n".join(
        line.replace("{{ config.error_file_path }}", "/dev/null")
        for line in lines
        if line.strip().startswith("errorfile")
    )


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    with haproxy(tmp_path) as found:
        yield found


@contextmanager
def haproxy(tmp_path: Path, **server: Any) -> Iterator[str]:
    port = free_port()
    configuration = tmp_path / "c"
    configuration.write_text(CONFIGURATION.format(port=port, no_route=no_route_lines(), errors=error_lines()))
    program = program_in(tmp_path, **server)
    process = subprocess.Popen([program, "-db", "-f", str(configuration)], stderr=subprocess.PIPE)
    try:
        url = f"http://127.0.0.1:{port}"
        until(lambda: not readiness.probe(url)[1].startswith("no answer"), "HAProxy answers")
        yield url
    finally:
        process.kill()
        process.communicate()


def said(url: str, *parts: bytes, pause_s: float = 0.0, source: str = "127.0.0.1") -> bytes:
    """What comes back for bytes that are sent as they are."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10, source_address=(source, 0)) as connection:
        for part in parts:
            connection.sendall(part)
            time.sleep(pause_s)
        connection.settimeout(10)
        found = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65_536):
                found += piece
    return found


POST = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


def test_a_replica_is_told_the_connections_address_and_not_what_clients_claim(url: str) -> None:
    claims = {
        "X-Whisperer-Client": "secret 203.0.113.9",
        "X-Forwarded-For": "203.0.113.9",
        "Forwarded": "for=203.0.113.9",
    }
    assert httpx.get(f"{url}/v1/x", headers=claims, trust_env=False).text.startswith("GET|secret 127.0.0.1|")


def test_a_path_reaches_a_replica_as_it_was_written(url: str) -> None:
    for path in (b"/v1/users/a%2Fexport", b"/v1/users/a/../b", b"/v1//users/%2e%2e/%00?x=%2F"):
        answer = said(url, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert answer.endswith(b"|" + path), answer


def test_a_method_that_nobody_knows_reaches_a_replica_as_one_that_none_answers(url: str) -> None:
    for method, seen in (("FOO", "TRACE"), ("PROPFIND", "TRACE"), ("PATCH", "PATCH"), ("DELETE", "DELETE")):
        assert httpx.request(method, f"{url}/v1/x", trust_env=False).text.startswith(f"{seen}|")


def test_a_trusted_proxy_says_for_whom_it_speaks(tmp_path: Path) -> None:
    with haproxy(tmp_path, trusted_proxies="127.0.0.0/8") as url:
        forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7"}
        assert httpx.get(f"{url}/v1/x", headers=forwarded, trust_env=False).text.startswith("GET|secret 198.51.100.7|")
        assert httpx.get(f"{url}/v1/x", trust_env=False).text.startswith("GET|secret 127.0.0.1|")


def test_with_the_proxy_protocol_a_trusted_proxy_says_whose_connection_it_is(tmp_path: Path) -> None:
    with haproxy(tmp_path, trusted_proxies="127.0.0.3", proxy_protocol=True) as url:
        request = b"GET /v1/x HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n"
        head = b"PROXY TCP4 203.0.113.5 127.0.0.1 4000 8000\r\n"
        assert b"secret 203.0.113.5|" in said(url, head + request, source="127.0.0.3")
        assert b"secret" not in said(url, request, source="127.0.0.3")
        assert b"secret 127.0.0.1|" in said(url, request)
        assert b"secret" not in said(url, head + request)


@pytest.mark.parametrize("rest", [b"Content-Length: 499999\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_body_that_does_not_begin_is_a_408_which_clients_send_again(url: str, rest: bytes) -> None:
    answer = said(url, POST + rest)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"retry-after: 1\r\n" in answer.lower()
    assert b'"code": "request_timeout"' in answer


def test_a_body_that_was_promised_by_100_continue_is_asked_for(url: str) -> None:
    answer = said(url, POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", b"{}", pause_s=0.1)
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 ")


def test_what_comes_after_a_bodys_announced_end_is_another_request(url: str) -> None:
    answer = said(url, b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}{}\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1 400 ") == 1


def test_requests_in_a_row_on_one_connection_are_all_answered(url: str) -> None:
    one = b"POST /v1/track HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
    assert said(url, one * 5 + POST + b"Content-Length: 0\r\n\r\n").count(b"HTTP/1.1 200 ") == 6


@pytest.mark.parametrize("target", [b"/v1/x\x01", b"/v1/x?" + b"a" * 20_000])
def test_what_is_no_request_or_too_long_a_one_is_400(url: str, target: bytes) -> None:
    """In HTML: HAProxy has no other words for what it cannot read."""
    assert said(url, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_two_lengths_or_a_length_beside_chunks_is_no_second_request(url: str) -> None:
    for odd in (b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", b"Content-Length: x\r\n\r\n{}"):
        assert said(url, POST + odd).startswith(b"HTTP/1.1 400 ")


def test_an_address_has_so_many_connections_and_others_go_on(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as held:
        for _ in range(5):
            held.enter_context(socket.create_connection((host, int(port)), source_address=("127.0.0.7", 0)))
        until(lambda: said(url, POST + b"\r\n", source="127.0.0.7") == b"", "the sixth connection is closed")
        assert said(url, POST + b"\r\n", source="127.0.0.8").startswith(b"HTTP/1.1 200 ")


def test_a_gateway_that_cannot_be_reached_is_a_503_and_no_500(url: str) -> None:
    answer = httpx.post(f"{url}/gone", content=b"{}", trust_env=False)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["code"] == "unavailable"


def test_rays_configuration_still_has_the_line_that_is_changed() -> None:
    assert "status 404" in no_route_lines()
    assert [line.split()[1] for line in error_lines().splitlines()] == ["502", "503", "504"]
    lines = haproxy_templates.HAPROXY_CONFIG_TEMPLATE.splitlines()
    assert lines[lines.index("frontend http_frontend") + 1].strip().startswith("bind ")


def test_without_a_route_clients_are_told_to_come_back_and_keep_their_events(url: str) -> None:
    answer = httpx.post(f"{url}/batch", content=b"{}", trust_env=False)
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "unavailable"


def test_a_start_that_waits_says_what_it_waits_for(url: str) -> None:
    assert readiness.probe(url) == (False, "HTTP server is up, the gateway has no route yet")


def test_the_program_becomes_haproxy_itself_so_that_signals_reach_it(tmp_path: Path) -> None:
    program = program_in(tmp_path)
    done = subprocess.run([program, "-v"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("HAProxy version")
