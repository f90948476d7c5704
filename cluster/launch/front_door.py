"""Writes the rules of HAProxy's public frontend: what it lets in, what it passes on, and what every answer carries.

It decides

- how much of the server a stranger may occupy before anything reaches a replica: how long headers and the first bytes
  of a body may take, and how many connections an address may have. A connection carries one request at a time, so
  HTTP/2, where it carries a hundred, is not spoken;
- what a request must be: a target that is a path, and one well-formed `Host`. HAProxy itself refuses what it cannot
  read, and writes what it could read anew, so a replica never sees a client's framing;
- what a replica is told of the caller: their address in :data:`CLIENT_HEADER`, whether somebody forwarded the request
  in :data:`FORWARDED_HEADER`, and the scheme in `X-Forwarded-Proto`. Clients can set none of them, and all other
  `X-Forwarded-*` headers end here;
- which security headers an answer has that brings none of its own.

Leaves to others: the connections' encryption (:mod:`.tls`), and the body after its first bytes (the gateway).
"""

from __future__ import annotations

import json
from http import HTTPStatus

from cluster.settings import trusted_proxies
from whisperer.settings import LimitSettings, ServerSettings

CLIENT_HEADER = "X-Whisperer-Client"
"""``<secret> <address>``: set only by HAProxy, and trusted only because of the secret."""
FORWARDED_HEADER = "X-Whisperer-Forwarded"
"""Present if the request came with a header that proxies add: whoever connected acts for somebody else."""

HEADERS_S = 5
"""Longest time from a connection's opening, or a request's first byte, to the end of its headers."""
IDLE_S = 60
"""Longest time a client may neither send nor receive while HAProxy waits for it."""
CROWDED = 3_000
"""Of HAProxy's 4,096 connections: once this many are open, each address may have fewer."""
CROWDED_PER_ADDRESS = 16
HSTS_S = 31_536_000
"""For how long a browser that came by TLS comes by nothing else."""

TABLES = [
    f"backend {name}\n    stick-table type ipv6 size 100k expire 60s store conn_cur"
    for name in ("whisperer_connections", "whisperer_requests")
]
_ADDRESS = "src,ipmask(32,64)"
"""A customer of an IPv6 network has at least 64 bits of addresses."""
_FORWARDING = ("Forwarded", "Via", "X-Real-IP")
_HOST = r"^([A-Za-z0-9_]([A-Za-z0-9._-]{0,252})|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?$"
_NOT_A_WEB_ADDRESS = "a request needs a path that begins with / and one Host that is a name or an address"
_SAID = {
    400: _NOT_A_WEB_ADDRESS,
    429: "too many requests of one address at a time",
    408: "the request came too slowly; send it again",
    502: "the gateway ended before it answered; send it again",
    503: "no gateway can be reached; send it again",
    504: "the gateway did not answer in time; send it again",
}
_CODES = {400: "malformed_request", 429: "rate_limited", 503: "unavailable"}

_ALWAYS = {"X-Content-Type-Options": "nosniff"}
_UNLESS_SAID = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""Whoever answers with something to look at or to keep says so: pages have a policy that they obey."""


def rules(server: ServerSettings, limits: LimitSettings, secret: str) -> list[str]:
    """Return the frontend's lines, in the order in which they apply."""
    proxies = " ".join(trusted_proxies(server.trusted_proxies))
    return [
        f"timeout http-request {HEADERS_S}s",
        f"timeout client {IDLE_S}s",
        "option disable-h2-upgrade",
        *_connections(server, limits, proxies),
        *_requests(),
        *_caller(server, proxies, secret),
        # The gateway reads a body at its own pace and checks by itself whether the caller is still connected. Without
        # this header Ray would read ahead of it, without limit.
        "http-request set-header X-Request-Disconnect-Disabled ?1",
        # The replicas' parser rejects a method it does not know as invalid HTTP. Such requests are answered 405.
        "http-request set-method TRACE unless { method GET HEAD POST PUT PATCH DELETE OPTIONS }",
        f"http-request wait-for-body time {max(1, round(limits.body_first_byte_s * 1000))}ms at-least 1",
        *_answers(),
    ]


def problem(status: int, detail: str = "") -> str:
    """Return what HAProxy answers of its own accord, as the end of a `return` or `http-error` line."""
    code = _CODES.get(status, HTTPStatus(status).phrase.lower().replace(" ", "_"))
    document = {"title": HTTPStatus(status).phrase, "status": status, "code": code, "detail": detail or _SAID[status]}
    retry = "" if status == HTTPStatus.BAD_REQUEST else "hdr Retry-After 1 "
    headers = f"{retry}hdr Access-Control-Allow-Origin *"
    return f"content-type application/problem+json {headers} string '{json.dumps(document)}'"


def _connections(server: ServerSettings, limits: LimitSettings, proxies: str) -> list[str]:
    expected = [f"tcp-request connection expect-proxy layer4 if {{ src {proxies} }}"] if server.proxy_protocol else []
    # A connection counts from its first packet, so that one that never speaks TLS counts, too. Only with the PROXY
    # protocol is the address known no earlier than after its header.
    when = "session" if server.proxy_protocol else "connection"
    is_forwarded = bool(proxies) and not server.proxy_protocol
    unless = "!from_proxy " if is_forwarded else ""
    many = f"{{ sc0_conn_cur gt {limits.address_connections} }}"
    crowded = f"{{ fe_conn gt {CROWDED} }} {{ sc0_conn_cur gt {CROWDED_PER_ADDRESS} }}"
    lines = [
        *expected,
        *([f"acl from_proxy src {proxies}"] if is_forwarded else []),
        f"tcp-request {when} track-sc0 {_ADDRESS} table whisperer_connections",
        f"tcp-request {when} reject if {unless}{many}",
        f"tcp-request {when} reject if {unless}{crowded}",
    ]
    if is_forwarded:
        # Whether the peer is a proxy has to be known after its place was taken by the client that it speaks for.
        lines += [
            "http-request set-var(txn.by_proxy) bool(true) if from_proxy",
            "http-request set-src hdr_ip(x-forwarded-for,-1) if from_proxy",
            f"http-request track-sc1 {_ADDRESS} table whisperer_requests if {{ var(txn.by_proxy) -m bool }}",
            f"http-request return status 429 {problem(429)} if {{ sc1_conn_cur gt {limits.address_connections} }}",
        ]
    return lines


def _requests() -> list[str]:
    wrong = f"http-request return status 400 {problem(400)}"
    return [
        "option http-restrict-req-hdr-names delete",  # X_Whisperer_Client is for some servers the same header
        f"{wrong} if !{{ path_beg / }}",
        f"{wrong} if !{{ req.fhdr(host) -m reg '{_HOST}' }}",
    ]


def _caller(server: ServerSettings, proxies: str, secret: str) -> list[str]:
    https = ["{ ssl_fc }"]
    if proxies and not server.proxy_protocol:
        https.append("{ var(txn.by_proxy) -m bool } { req.hdr(x-forwarded-proto) -i https }")
    found = [*(f"{{ req.hdr({name}) -m found }}" for name in _FORWARDING), "{ req.hdr_names -m sub -i x-forwarded- }"]
    return [
        f'http-request set-header {CLIENT_HEADER} "{secret} %[src]"',
        f"http-request del-header {FORWARDED_HEADER}",
        *(f"http-request set-header {FORWARDED_HEADER} yes if {one}" for one in found),
        *(f"http-request set-var(txn.https) bool(true) if {one}" for one in https),
        # Ray's replicas believe these two from whoever connects from their own machine, which HAProxy always does.
        "http-request del-header X-Forwarded- -m beg",
        "http-request del-header Forwarded",
        "http-request set-header X-Forwarded-Proto https if { var(txn.https) -m bool }",
    ]


def _answers() -> list[str]:
    return [
        "http-after-response del-header Server",
        *(f'http-after-response set-header {name} "{value}"' for name, value in _ALWAYS.items()),
        *(
            f'http-after-response set-header {name} "{value}" unless {{ res.hdr({name}) -m found }}'
            for name, value in _UNLESS_SAID.items()
        ),
        f'http-after-response set-header Strict-Transport-Security "max-age={HSTS_S}" if {{ ssl_fc }}',
    ]
