"""Users listed and named over HTTP, through the real proxy, over several shards; and by the command line."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.support.stand import Stand, Tenant, running, until

pytestmark = pytest.mark.cluster

HOSTILE = [
    "acme/export", "acme/consent", "acme", "/", "//", "a//b", ".", "..", "../acme", "%", "%2F", "%25", "a%00b", "é/é", "日本語",
    "export", "consent", "x" * 256, "a b", "a+b", "a&user_id=b", "a;b", "a#b", "a?b", "\\", "*", "'; DROP TABLE users;--",
]  # fmt: skip


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    settings = {"SCORING_FIRST_AFTER_S": 1, "SCORING_INTERVAL_S": 1}
    with running(tmp_path_factory.mktemp("users") / "var", settings=settings) as made:
        yield made


def everybody(tenant: Tenant, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = None
    while True:
        answer = tenant.api.get("/v1/users", params=query | ({} if cursor is None else {"cursor": cursor}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


def ids(users: list[dict[str, Any]]) -> list[str]:
    return [user["user_id"] for user in users]


def problem(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    return answer.status_code, answer.json()["code"]


def test_users_are_listed_searched_and_sorted_over_all_shards(stand: Stand) -> None:
    tenant = stand.tenant("listed")
    tenant.api.put("/v1/segments/pros", json={"predicate": {"trait": "plan", "op": "eq", "value": "pro"}})
    batch = [
        {
            "type": "identify", "userId": f"u{n:03}", "timestamp": f"2026-01-{n % 28 + 1:02}T{n % 24:02}:00:{n % 60:02}Z",
            "traits": {"plan": "pro" if n % 3 == 0 else "free", "email": f"{'ann' if n % 5 == 0 else 'bob'}{n}@example.com", "n": n},
        }
        for n in range(300)
    ]  # fmt: skip
    assert tenant.post("import", {"batch": batch}).json() == {"success": True}
    assert tenant.post("track", {"anonymousId": "dev", "event": "Looked"}).json() == {"success": True}
    tenant.stand.settled()
    names = [f"u{n:03}" for n in range(300)]

    assert ids(everybody(tenant, limit="7", **{"filter[known]": "true"})) == names
    assert ids(everybody(tenant, sort="-user_id", limit="101", **{"filter[known]": "true"})) == names[::-1]
    newest = sorted(names, key=lambda name: (batch[int(name[1:])]["timestamp"], -int(name[1:])), reverse=True)
    assert ids(everybody(tenant, sort="-last_seen", limit="50", **{"filter[known]": "true"})) == newest
    assert ids(everybody(tenant, **{"filter[traits.email][prefix]": "ann"})) == names[::5]
    assert ids(everybody(tenant, **{"filter[traits.email][prefix]": "ann", "filter[segment]": "pros"})) == names[::15]
    assert ids(everybody(tenant, **{"filter[traits.n]": "42"})) == ["u042"]
    assert ids(everybody(tenant, **{"filter[user_id][prefix]": "u29"})) == names[290:]
    after = {"filter[last_seen][after]": "2026-01-10T00:00:00Z", "filter[last_seen][before]": "2026-01-11T00:00:00Z"}
    assert ids(everybody(tenant, **after)) == [f"u{n:03}" for n in range(300) if n % 28 == 9]
    assert [one["anonymous_id"] for one in everybody(tenant, **{"filter[known]": "false"})] == ["dev"]
    one = everybody(tenant, fields="traits.n,last_seen", **{"filter[user_id][prefix]": "u000"})
    assert one == [
        {"user_id": "u000", "anonymous_id": None, "traits": {"n": 0}, "last_seen": "2026-01-01T00:00:00.000Z"}
    ]
    until(lambda: len(everybody(tenant, **{"filter[score][gte]": "0"})) == 301, "scores of everybody", 60)
    scores = [user["score"] for user in everybody(tenant, sort="-score", limit="44")]
    assert scores == sorted(scores, reverse=True)

    listed = json.loads(
        stand.run("user", "list", "-t", "listed", "-f", "traits.email[prefix]=ann", "-f", "segment=pros",
                  "--sort=-user_id", "--limit", "3", "--json")
    )  # fmt: skip
    assert ids(listed["data"]) == names[::15][::-1][:3]
    more = stand.json("user", "list", "-t", "listed", "-f", "traits.email[prefix]=ann", "-f", "segment=pros",
                      "--sort=-user_id", "--cursor", listed["next_cursor"])  # fmt: skip
    assert ids(more["data"]) == names[::15][::-1][3:]
    assert "u295" in stand.run("user", "list", "-t", "listed", "--sort=-user_id", "--fields", "traits")


def test_what_cannot_be_listed_is_refused_by_its_code(stand: Stand) -> None:
    tenant, other = stand.tenant("refused"), stand.tenant("other")
    for one in (tenant, other):
        one.post("batch", {"batch": [{"type": "track", "event": "E", "userId": f"u{n}"} for n in range(5)]})
    cursor = tenant.api.get("/v1/users", params={"limit": 2}).json()["next_cursor"]
    for query, status, code in (
        ({"filter[plan]": "x"}, 400, "unknown_filter"),
        ({"filter[score][gte]": "x"}, 400, "invalid_filter"),
        ({"filter[segment]": "nobody"}, 404, "segment_not_found"),
        ({"sort": "plan"}, 400, "unknown_sort"),
        ({"fields": "plan"}, 400, "unknown_field"),
        ({"sorted": "user_id"}, 400, "unknown_parameter"),
        ({"limit": "501"}, 422, "invalid_request"),
        ({"cursor": "x"}, 400, "invalid_cursor"),
        ({"cursor": cursor + "AA"}, 400, "invalid_cursor"),
        ({"cursor": cursor, "sort": "-user_id"}, 400, "invalid_cursor"),
        ({"user_id": "u1", "limit": "2"}, 400, "unknown_parameter"),
        ({"user_id": "nobody"}, 404, "user_not_found"),
    ):
        assert problem(tenant.api.get("/v1/users", params=query)) == (status, code), query
    assert problem(other.api.get("/v1/users", params={"cursor": cursor})) == (400, "invalid_cursor")
    assert ids(tenant.api.get("/v1/users", params={"cursor": cursor}).json()["data"]) == ["u2", "u3", "u4"]


def raw(user_id: str) -> str:
    return "".join(f"%{byte:02X}" for byte in user_id.encode())


def ask(tenant: Tenant, method: str, target: str, body: bytes = b"") -> tuple[int, Any]:
    """One request as written, byte for byte: a client library would tidy `..` up."""
    head = (
        f"{method} {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {tenant.secret_key}\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", tenant.stand.port), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        answer = httpx_like(b"".join(iter(lambda: connection.recv(65_536), b"")))
    return answer


def httpx_like(answer: bytes) -> tuple[int, Any]:
    head, _, rest = answer.partition(b"\r\n\r\n")
    if b"chunked" in head.lower():
        pieces, left = [], rest
        while left:
            size, _, left = left.partition(b"\r\n")
            pieces.append(left[: int(size, 16)])
            left = left[int(size, 16) + 2 :]
        rest = b"".join(pieces)
    return int(head[9:12]), json.loads(rest)


@pytest.mark.parametrize("named_by", ["path", "query"])
def test_a_hostile_id_is_exactly_that_user_by_every_route(stand: Stand, named_by: str) -> None:
    tenant = stand.tenant(f"hostile-{named_by}")
    batch = [{"type": "identify", "userId": one, "traits": {"number": n}} for n, one in enumerate(HOSTILE)]
    assert tenant.post("batch", {"batch": batch}).json() == {"success": True}
    consent = json.dumps({"channel": "email", "granted": True}).encode()
    assert sorted(ids(everybody(tenant))) == sorted(HOSTILE)
    for n, user_id in enumerate(HOSTILE):
        encoded = [raw(user_id)] if n % 2 else [raw(user_id), quote(user_id, safe="").replace(".", "%2E")]
        for one in encoded:
            at = (lambda step, one=one: f"/v1/users/{one}{step}") if named_by == "path" else (
                lambda step, one=one: f"/v1/users{step}?user_id={one}")  # fmt: skip
            status, shown = ask(tenant, "GET", at(""))
            assert (status, shown["user_id"], shown["traits"]) == (200, user_id, {"number": n})
        status, stated = ask(tenant, "POST", at("/consent"), consent)
        assert (status, stated["user_id"]) == (200, user_id)
        if n < 4 or user_id in ("export", "consent", ".."):
            status, exported = ask(tenant, "GET", at("/export"))
            assert (status, exported["profile"]["user_id"]) == (200, user_id)
    gone = [one for one in HOSTILE if one in ("acme/export", "..", "%2F", "export", "é/é")]
    for user_id in gone:
        target = f"/v1/users/{raw(user_id)}" if named_by == "path" else f"/v1/users?user_id={raw(user_id)}"
        assert ask(tenant, "DELETE", target)[1]["user_id"] == user_id
    assert sorted(ids(everybody(tenant))) == sorted(set(HOSTILE) - set(gone))
    for target in ("/v1/users/", "/v1/users?user_id="):
        assert ask(tenant, "GET", target)[0] in (404, 422)
        assert ask(tenant, "DELETE", target)[0] in (404, 422)
    assert len(everybody(tenant)) == len(HOSTILE) - len(gone)
