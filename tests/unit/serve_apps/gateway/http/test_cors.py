"""Which origins may read the control API's answers in a browser."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.settings import origins
from serve_apps.gateway.http.cors import CrossOrigin

APP = "https://app.example.com"
PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization"}


async def application(scope: Any, receive: Any, send: Any) -> None:
    status = 405 if scope["method"] == "OPTIONS" else 200
    await send({"type": "http.response.start", "status": status, "headers": [(b"etag", b'"1"')]})
    await send({"type": "http.response.body", "body": b"{}"})


async def asked(
    allowed: str, origin: str | None, path: str = "/v1/users/u1", method: str = "GET", headers: Any = None
) -> httpx.Response:
    wrapped: Any = CrossOrigin(application, origins(allowed))
    transport = httpx.ASGITransport(app=wrapped)
    sent = ({} if origin is None else {"Origin": origin}) | (headers or {})
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as http:
        return await http.request(method, path, headers=sent)


async def test_a_named_origin_may_read_with_credentials_and_a_preflight_says_what_it_may_send() -> None:
    answer = await asked(APP, APP)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, APP)
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert answer.headers["vary"] == "Origin"
    preflight = await asked(APP, APP, method="OPTIONS", headers=PREFLIGHT)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (204, APP)
    assert "PUT" in preflight.headers["access-control-allow-methods"]
    assert "authorization" in preflight.headers["access-control-allow-headers"]


@pytest.mark.parametrize("allowed", ["", APP, "*"])
@given(origin=st.sampled_from(["https://evil.example", "null", "https://app.example.com.evil.example", "http://app.example.com",
                               "https://app.example.com:444", "https://APP.example.com", "*", ""]))  # fmt: skip
async def test_no_other_origin_is_let_read_and_none_has_credentials_under_a_star(allowed: str, origin: str) -> None:
    for method, headers in (("GET", None), ("OPTIONS", PREFLIGHT)):
        answer = await asked(allowed, origin, method=method, headers=headers)
        assert answer.headers.get("access-control-allow-origin") == ("*" if allowed == "*" else None)
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.status_code == (204 if (allowed, method) == ("*", "OPTIONS") else 405 if headers else 200)


async def test_next_to_a_star_a_named_origin_keeps_its_credentials() -> None:
    answer = await asked(f"{APP} *", APP)
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-allow-credentials"] == "true"


@pytest.mark.parametrize(
    "path", ["/", "/sink", "/users/u1", "/internal/status", "/internal/tenants/t/users/u", "/metrics"]
)
async def test_the_operators_paths_and_the_pages_are_open_to_no_origin(path: str) -> None:
    for allowed in (APP, "*"):
        answer = await asked(allowed, APP, path)
        assert not [name for name in answer.headers if name.startswith("access-control-")]
        assert (await asked(allowed, APP, path, "OPTIONS", PREFLIGHT)).status_code == 405


async def test_a_call_without_an_origin_is_no_business_of_a_browser() -> None:
    answer = await asked(APP, None)
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert answer.headers["vary"] == "Origin"  # a cache must not hand this answer to an origin


@pytest.mark.parametrize(
    "word", ["app.example.com", "https://", "ftp://a.example", "https://a.example/x", "https://u@a.example", "https://a:b",
             "https://*.example.com", "https://a.example?x"]
)  # fmt: skip
def test_what_is_no_origin_is_refused_at_the_start(word: str) -> None:
    if "*" in word:
        assert origins(word) == {word}  # names nobody: browsers write no star
        return
    with pytest.raises(ValueError, match="is no origin"):
        origins(word)


async def test_an_origin_that_a_tenant_named_may_read_and_has_no_credentials() -> None:
    wrapped: Any = CrossOrigin(application, frozenset(), lambda origin: origin == APP.encode())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=wrapped), base_url="http://x") as http:
        for method, headers, status in (("GET", {}, 200), ("OPTIONS", PREFLIGHT, 204)):
            answer = await http.request(method, "/v1/campaigns", headers={"Origin": APP} | headers)
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, APP)
            assert "access-control-allow-credentials" not in answer.headers
            other = await http.request(method, "/v1/campaigns", headers={"Origin": f"{APP}.evil.example"} | headers)
            assert "access-control-allow-origin" not in other.headers
