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
from urllib.parse import unquote

import httpx
import msgspec
import pytest
from ray.serve._private import haproxy_templates

from cluster.launch import haproxy_program, readiness
from cluster.settings import load
from tests.support.stand import free_port, until

CONFIGURATION = """
global
    stats socket {folder}/n/a mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
{errors}
frontend http_frontend
    bind 127.0.0.1:{port}
    use_backend gone if {{ path /gone }}
    use_backend told if {{ path /told }}
    use_backend page if {{ path /page }}
    use_backend gateway if {{ path_beg /v1/ }}
    default_backend default_backend
backend gateway
    http-request return status 200 content-type text/plain lf-string "%[method]|%[req.hdr(x-whisperer-client)]|%[pathq]"
backend told
    http-request return status 200 content-type text/plain lf-string "%[req.hdrs]"
backend page
    http-request return status 200 content-type text/html hdr Server x hdr Cache-Control public hdr X-Frame-Options SAMEORIGIN hdr Content-Security-Policy "default-src 'self'" string ok
backend gone
    server nobody 127.0.0.1:1
{no_route}
"""


def no_route_lines() -> str:
    """Ray's own answer where no route matches, out of its template."""
    lines = haproxy_templates.HAPROXY_CONFIG_TEMPLATE.splitlines()
    at = lines.index("backend default_backend")
    return "\n".join(lines[at : at + 2])


def program_in(folder: Path, local_port: int = 0, **server: Any) -> Path:
    settings = load(folder, environment={})
    limits = msgspec.structs.replace(settings.limits, body_first_byte_s=0.3, address_connections=5)
    chosen = msgspec.structs.replace(settings.server, **server)
    return haproxy_program.make(folder, chosen, limits, "secret", local_port)


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
    (tmp_path / "n").mkdir(exist_ok=True)
    text = CONFIGURATION.format(folder=tmp_path, port=port, no_route=no_route_lines(), errors=error_lines())
    configuration.write_text(text)
    local_port = free_port()
    program = program_in(tmp_path, local_port, **server)
    process = subprocess.Popen([program, "-db", "-f", str(configuration)], stderr=subprocess.PIPE)
    try:
        url = f"http://127.0.0.1:{local_port if server.get('tls_certificate') else port}"
        until(lambda: not readiness.probe(url)[1].startswith("no answer"), "HAProxy answers")
        yield url
    finally:
        process.kill()
        process.communicate()


def said(url: str, *parts: bytes, pause_s: float = 0.0, source: str = "127.0.0.1") -> bytes:
    """What comes back for bytes that are sent as they are."""
    host, port = url.removeprefix("http://").split(":")
    found = b""
    with (
        contextlib.suppress(ConnectionError),
        socket.create_connection((host, int(port)), timeout=10, source_address=(source, 0)) as connection,
    ):
        for part in parts:
            connection.sendall(part)
            time.sleep(pause_s)
        while piece := connection.recv(65_536):
            found += piece
    return found


def n_connections(folder: Path, source: str) -> int:
    """How many connections of an address HAProxy counts. One that comes while others do may see more than these."""
    with socket.socket(socket.AF_UNIX) as asking:
        asking.connect(str(folder / "n" / "a"))
        asking.sendall(b"show table whisperer_connections\n")
        lines = b"".join(iter(lambda: asking.recv(65_536), b"")).decode().splitlines()
    counts = [
        line.partition("conn_cur=")[2].split() for line in lines if f"key={source} " in line.replace("::ffff:", "")
    ]
    return int(counts[0][0]) if counts else 0


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
        forwarded = {"X-Forwarded-For": "203.0.113.9, 198.51.100.7", "X-Forwarded-Proto": "https"}
        assert httpx.get(f"{url}/v1/x", headers=forwarded, trust_env=False).text.startswith("GET|secret 198.51.100.7|")
        assert httpx.get(f"{url}/v1/x", trust_env=False).text.startswith("GET|secret 127.0.0.1|")

        assert told(url, forwarded)["x-forwarded-proto"] == "https"
        assert "x-forwarded-for" not in told(url, forwarded)


def test_a_trusted_proxys_client_has_so_many_requests_at_a_time_and_others_go_on(tmp_path: Path) -> None:
    with haproxy(tmp_path, trusted_proxies="127.0.0.0/8") as url, contextlib.ExitStack() as held:
        host, port = url.removeprefix("http://").split(":")
        begun = b"POST /v1/x HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 203.0.113.9\r\nContent-Length: 9\r\n\r\n"
        for _ in range(6):
            held.enter_context(socket.create_connection((host, int(port)))).sendall(begun)

        def status(client: str) -> int:
            return httpx.get(f"{url}/v1/x", headers={"X-Forwarded-For": client}, trust_env=False).status_code

        until(lambda: status("203.0.113.9") == 429, "the client of many requests is refused", 1.0)
        assert status("203.0.113.10") == 200


CLAIMED = {
    "X-Forwarded-For": "203.0.113.9",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example",
    "X-Forwarded-Port": "444",
    "X-Forwarded-Prefix": "/internal",
    "Forwarded": "for=203.0.113.9;host=evil.example;proto=https",
    "X_Forwarded_Proto": "https",
}


def told(url: str, headers: dict[str, str]) -> dict[str, str]:
    """The headers that a replica gets, the client's address apart."""
    lines = unquote(httpx.get(f"{url}/told", headers=headers, trust_env=False).text).splitlines()
    return {line.partition(":")[0].lower(): line.partition(": ")[2] for line in lines if ":" in line}


@pytest.mark.parametrize("name", CLAIMED)
def test_what_a_client_forwards_reaches_no_replica_except_that_it_was(url: str, name: str) -> None:
    plain, claimed = told(url, {}), told(url, {name: CLAIMED[name]})
    assert claimed.pop("x-whisperer-forwarded", None) == ("yes" if "_" not in name else None)
    assert claimed == plain
    assert "x-whisperer-forwarded" not in plain


def test_no_client_can_say_that_nobody_forwarded_it_nor_hide_that_somebody_did(url: str) -> None:
    assert "x-whisperer-forwarded" not in told(url, {"X-Whisperer-Forwarded": "yes"})
    for name in ("Via", "X-Real-IP"):
        assert told(url, {name: "1.1 x"})["x-whisperer-forwarded"] == "yes"


GET = b"GET /v1/x HTTP/1.1\r\n"
CLOSE = b"Connection: close\r\n\r\n"
REFUSED_HEADS = {
    "an open bracket for a host": GET + b"Host: [\r\n" + CLOSE,
    "a host with a blank": GET + b"Host: a b\r\n" + CLOSE,
    "a host with a path": GET + b"Host: a/b\r\n" + CLOSE,
    "a host with a login": GET + b"Host: a@b\r\n" + CLOSE,
    "a host with a port of letters": GET + b"Host: a:b\r\n" + CLOSE,
    "two hosts in one header": GET + b"Host: a, b\r\n" + CLOSE,
    "two hosts": GET + b"Host: a\r\nHost: b\r\n" + CLOSE,
    "no host": GET + CLOSE,
    "an empty host": GET + b"Host: \r\n" + CLOSE,
    "a target on another host": b"GET http://evil.example/v1/x HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "a target whose host nobody repeats": b"GET http://evil.example/v1/x HTTP/1.1\r\n" + CLOSE,
    "an asterisk": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "a tunnel": b"CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n" + CLOSE,
    "HTTP/2 without TLS": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "no version": b"GET /v1/x\r\n\r\n",
    "a null byte in the target": b"GET /v1/x\x00y HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "a null byte in a header": GET + b"Host: a\r\nX: a\x00b\r\n" + CLOSE,
    "a bare carriage return": GET + b"Host: a\rX: y\r\n" + CLOSE,
    "a blank before the colon": GET + b"Host : a\r\n" + CLOSE,
    "a folded first header": GET + b" Host: a\r\n" + CLOSE,
    "letters that are no ASCII in the target": b"GET /v1/\xc3\xa9 HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "a fragment": b"GET /v1/x#y HTTP/1.1\r\nHost: a\r\n" + CLOSE,
    "thousands of headers": GET + b"Host: a\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(3_000)) + CLOSE,
    "a header of 20 KB": GET + b"Host: a\r\nX: " + b"a" * 20_000 + b"\r\n" + CLOSE,
    "a target of 60 KB": b"GET /v1/" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: a\r\n" + CLOSE,
}


@pytest.mark.parametrize("what", REFUSED_HEADS)
def test_a_head_that_could_mean_two_things_is_400_and_reaches_no_replica(url: str, what: str) -> None:
    answer = said(url, REFUSED_HEADS[what])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"secret" not in answer


HIDDEN = b"GET /v1/hidden HTTP/1.1\r\nHost: x\r\n\r\n"
FRAMINGS = {
    "a length next to chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunks next to a length": b"Transfer-Encoding: chunked\r\nContent-Length: 60\r\n\r\n0\r\n\r\n" + HIDDEN,
    "an unknown encoding": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "chunks inside gzip": b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "two encodings": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "an encoding behind a tab": b"Transfer-Encoding:\tchunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a folded encoding": b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + HIDDEN,
    "an encoding with a blank in its name": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a signed length": b"Content-Length: +0\r\n\r\n" + HIDDEN,
    "a negative length": b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "two lengths in one": b"Content-Length: 0, 60\r\n\r\n" + HIDDEN,
    "a negative chunk": b"Transfer-Encoding: chunked\r\n\r\n-1\r\n" + HIDDEN,
    "an endless chunk": b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n" + HIDDEN,
}


@pytest.mark.parametrize("what", FRAMINGS)
def test_a_body_with_two_ends_hides_no_second_request(url: str, what: str) -> None:
    """Refused, or taken as one request after which the connection is closed: what follows is nobody's."""
    answer = said(url, b"POST /v1/track HTTP/1.1\r\nHost: x\r\n" + FRAMINGS[what])
    assert b"hidden" not in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.1 422 ")) or b"connection: close" in answer


def seen(url: str, request: bytes) -> str:
    """The headers that a replica gets, as they are written to it."""
    return unquote(said(url, request).partition(b"\r\n\r\n")[2].decode())


def test_lines_that_end_or_go_on_oddly_are_written_anew_for_the_replica(url: str) -> None:
    """What RFC 9112 lets a server read, it reads; no replica sees it."""
    bare = seen(url, b"GET /told HTTP/1.1\nHost: a\nX-Odd: 1\nConnection: close\n\n")
    folded = seen(url, b"GET /told HTTP/1.1\r\nHost: a\r\nX-Odd: 1\r\n X-Forwarded-For: 2\r\nConnection: close\r\n\r\n")
    assert "\r\nx-odd: 1\r\n" in bare
    assert "\r\nx-odd: 1   X-Forwarded-For: 2\r\n" in folded
    assert "x-whisperer-forwarded" not in folded


@pytest.mark.parametrize("host", ["a.example", "a_b.example:8000", "127.0.0.1", "[::1]:8000", "xn--bcher-kva.example"])
def test_names_and_addresses_are_hosts(url: str, host: str) -> None:
    assert httpx.get(f"{url}/v1/x", headers={"Host": host}, trust_env=False).status_code == 200


ALWAYS = ("x-content-type-options", "content-security-policy", "x-frame-options", "referrer-policy", "cache-control")


def test_every_answer_carries_what_browsers_need_to_know(url: str) -> None:
    answers = [
        httpx.get(f"{url}/v1/x", trust_env=False),
        httpx.get(f"{url}/gone", trust_env=False),
        httpx.get(f"{url}/nowhere", trust_env=False),
        httpx.get(f"{url}/v1/x", headers={"Host": "-"}, trust_env=False),
    ]
    assert [answer.status_code for answer in answers] == [200, 503, 503, 400]
    for answer in answers:
        assert [answer.headers.get_list(name) for name in ALWAYS] == [
            ["nosniff"],
            ["default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"],
            ["DENY"],
            ["no-referrer"],
            ["no-store"],
        ]
        assert "strict-transport-security" not in answer.headers
    assert said(url, POST + b"Content-Length: 9\r\n\r\n").count(b"nosniff") == 1  # a 408


def test_an_answer_that_says_so_itself_keeps_its_word(url: str) -> None:
    page = httpx.get(f"{url}/page", trust_env=False).headers
    assert page["content-security-policy"] == "default-src 'self'"
    assert (page["x-frame-options"], page["cache-control"]) == ("SAMEORIGIN", "public")
    assert page["x-content-type-options"] == "nosniff"
    assert "server" not in page


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


def test_an_address_has_so_many_connections_and_others_go_on(url: str, tmp_path: Path) -> None:
    host, port = url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as held:
        for _ in range(5):
            held.enter_context(socket.create_connection((host, int(port)), source_address=("127.0.0.7", 0)))
        until(lambda: n_connections(tmp_path, "127.0.0.7") == 5, "HAProxy has counted five")
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
