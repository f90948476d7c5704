from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request

from serve_apps.gateway.pages import PAGE_HEADERS, routes
from serve_apps.gateway.pages.documents import Tenants
from serve_apps.gateway.pages.routes import destination
from serve_apps.gateway.pages.site import campaign_page, user_page
from tests.e2e.home_server import Documents, application
from tests.unit.serve_apps.gateway.pages.documents import NOW
from tests.unit.serve_apps.gateway.pages.loop_documents import DECISION, SEND_KEY, loop, user
from tests.unit.serve_apps.gateway.pages.reading import HOSTILE, words
from whisperer.access.permissions import Permission
from whisperer.errors import ForbiddenError, UnavailableError

PATHS = [
    "/sink",
    "/policies",
    "/channels",
    "/deliveries",
    "/catalogues",
    "/catalogues/products",
    "/coupon-pools",
    "/coupon-pools/spring",
    f"/sink/{SEND_KEY}",
    "/users/ada",
    f"/decisions/{DECISION}",
    "/campaigns/Adopt%20a%20feature",
    "/templates/tips-email",
    "/templates/tips-email?locale=de&user_id=ada",
]


@pytest.fixture
def documents() -> Documents:
    return Documents()


@pytest.fixture
async def client(documents: Documents) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(application(documents), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as running:
        yield running


@pytest.mark.parametrize("path", ["/", *PATHS])
async def test_each_page_is_answered_under_its_policy(client: httpx.AsyncClient, path: str) -> None:
    answer = await client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    for name, value in PAGE_HEADERS.items():
        assert answer.headers[name] == value


@pytest.mark.parametrize("path", [*PATHS, f"/sink/{SEND_KEY}/html", "/templates/tips-email/html", "/find?q=ada"])
async def test_a_stranger_learns_only_that_it_runs(client: httpx.AsyncClient, documents: Documents, path: str) -> None:
    documents.live = None
    answer = await client.get(path)
    assert answer.status_code == 403
    assert "User Whisperer is running" in answer.text
    assert documents.asked == []


async def test_a_stranger_gets_no_live_document(client: httpx.AsyncClient, documents: Documents) -> None:
    documents.live = None
    assert (await client.get("/internal/live")).status_code == 401
    assert (await client.get("/")).status_code == 200


async def test_the_live_document_carries_the_loop(client: httpx.AsyncClient, documents: Documents) -> None:
    assert documents.live is not None
    documents.live.loop = loop()
    assert (await client.get("/internal/live")).json()["loop"]["totals"]["candidates"] == 12_345


async def test_the_email_is_answered_apart_and_under_a_stricter_policy(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/sink/{SEND_KEY}/html")
    assert answer.headers["content-security-policy"].endswith("sandbox")
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "Three shortcuts" in answer.text


async def test_a_preview_of_an_email_is_answered_apart_and_under_a_stricter_policy(client: httpx.AsyncClient) -> None:
    answer = await client.get("/templates/tips-email/html?locale=ar")
    assert answer.headers["content-security-policy"].endswith("sandbox")
    assert "Hello" in answer.text
    assert "https://a.example" not in answer.text, "its links lead nowhere"


@pytest.mark.parametrize(
    ("asked_for", "needs"),
    [("user_id=ada", Permission.USERS_READ), ("sent_by=welcome/tips", Permission.CAMPAIGNS_READ)],
)
async def test_who_has_a_template_shown_for_a_user_or_a_campaign_may_see_them(
    documents: Documents, asked_for: str, needs: Permission
) -> None:
    app = FastAPI(redirect_slashes=False)
    asked: list[Permission] = []

    async def tenant_of_person(request: Request, permission: Permission) -> str | None:
        asked.append(permission)
        if permission is needs:
            raise ForbiddenError("not you", code="permission_missing")
        return "demo"

    routes.install(app, documents, lambda request: False, lambda: NOW, tenant_of_person)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as client:
        assert (await client.get("/templates/tips-email")).status_code == 200
        n_asked = len(documents.asked)
        for path in (f"/templates/tips-email?{asked_for}", f"/templates/tips-email/html?{asked_for}"):
            assert (await client.get(path)).status_code == 403
    assert len(documents.asked) == n_asked


async def test_the_tenant_is_the_one_asked_for_else_the_demos_else_the_only_one(
    client: httpx.AsyncClient, documents: Documents
) -> None:
    for path, names, demo in (
        ("/sink?tenant=acme", ["demo", "acme"], "demo"),
        ("/sink", ["demo", "acme"], "acme"),
        ("/sink", ["acme"], None),
    ):
        documents.names = Tenants(names, demo)
        documents.asked.clear()
        await client.get(path)
        assert documents.asked[0][0] == "acme"


async def test_with_several_tenants_and_no_demo_the_viewer_is_asked(
    client: httpx.AsyncClient, documents: Documents
) -> None:
    documents.names = Tenants(["acme", HOSTILE], None)
    answer = await client.get("/users/ada")
    assert "Which tenant?" in answer.text
    assert 'href="/users/ada?tenant=acme"' in answer.text
    assert "<img src=x" not in answer.text
    documents.names = Tenants([], None)
    assert "whisperer tenant create" in (await client.get("/sink")).text


async def test_what_is_not_there_is_a_page_that_says_so(client: httpx.AsyncClient) -> None:
    for path in (
        "/users/nobody",
        "/decisions/dec_x",
        "/sink/snd_x",
        "/campaigns/x",
        "/templates/x",
        "/sink?tenant=nobody",
    ):
        answer = await client.get(path)
        assert answer.status_code == 404
        assert "Not here" in answer.text
        assert "nobody" in answer.text or "there is no" in words(answer.text)
    assert "<img src=x" not in (await client.get("/users/x", params={"tenant": HOSTILE})).text


async def test_another_tenants_user_is_not_here(client: httpx.AsyncClient) -> None:
    assert (await client.get("/users/ada?tenant=acme")).status_code == 404


async def test_a_shard_that_recovers_is_told_as_such(client: httpx.AsyncClient, documents: Documents) -> None:
    async def recovering(tenant: str, user_id: str) -> None:
        raise UnavailableError("shard-1 is recovering", retry_after_s=1)

    documents.user = recovering  # type: ignore[method-assign,assignment]
    answer = await client.get("/users/ada")
    assert answer.status_code == 503
    assert "Not now" in answer.text
    assert "shard-1 is recovering" in answer.text


async def test_filters_reach_the_source_and_nonsense_is_left_out(
    client: httpx.AsyncClient, documents: Documents
) -> None:
    await client.get("/sink?channel=sms&user_id=%20ada%20&campaign=&before=77")
    await client.get("/sink?before=seven&user_id=" + "x" * 5_000)
    (first, second) = documents.asked
    assert first == ("demo", "sms", "ada", None, 77, 50)
    assert second == ("demo", None, "x" * 1_000, None, None, 50)


@pytest.mark.parametrize(
    "user_id", ["a/b", "/evil.example", "//evil.example", "..", ".", "a?b#c", "ü 1", "%2e%2e", "ada"]
)
async def test_any_id_can_be_found_and_leads_nowhere_else(
    client: httpx.AsyncClient, documents: Documents, user_id: str
) -> None:
    documents.users[user_id] = user(user_id=user_id)
    found = await client.get("/find", params={"q": user_id})
    assert found.status_code == 303
    assert found.headers["location"].startswith("/users/")
    answer = await client.get(found.headers["location"])
    assert answer.status_code == 200
    assert documents.asked[-1] == ("demo", "user", user_id)


def test_what_is_typed_decides_the_page() -> None:
    assert destination("demo", f"  {DECISION} ") == f"/decisions/{DECISION}?tenant=demo"
    assert destination("demo", SEND_KEY) == f"/sink/{SEND_KEY}?tenant=demo"
    assert destination("demo", "dec_short") == "/users/dec_short?tenant=demo"
    assert destination("demo", "") == "/?tenant=demo"
    assert "\n" not in destination("demo", "a\r\nSet-Cookie: x")
    assert campaign_page("a&b", "..") == "/campaigns/?tenant=a%26b&id=.."
    assert user_page(None, "") == "/users/"
