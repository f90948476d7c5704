"""Signing in by the pages, over the real application, as a browser without scripts does it."""

from __future__ import annotations

import re

import pyotp
import pytest

from cluster.control_plane.models import TenantSettingsRow
from cluster.control_plane.transactions import now_ms
from serve_apps.gateway.http import cookies
from serve_apps.gateway.pages.auth_forms import HOME, local
from tests.support.gateway_world import Caller, World
from tests.support.people import PASSWORD, Browser, invite, member

ADA = "ada@example.com"


def code(secret: str, ahead: int = 0) -> str:
    """The code of this step, or of one ahead: a code counts once."""
    return pyotp.TOTP(secret).generate_otp(now_ms() // 1000 // 30 + ahead)


def text(browser: Browser) -> str:
    return re.sub(r"<[^>]+>", " ", browser.page.text)


async def test_an_invitation_makes_a_member_who_signs_in_and_out(world: World, acme: Caller) -> None:
    token = invite(world.plane, acme.id, "viewer", ADA)
    browser = Browser(world)
    await browser.open(f"/auth/invitation?token={token}")
    assert ADA in browser.page.text
    await browser.send(name="Ada", password="short")
    assert browser.page.status_code == 422
    assert "at least 10 bytes" in text(browser)
    await browser.send(name="Ada", password=PASSWORD)
    assert "member of acme" in text(browser)
    assert (await browser.open(f"/auth/invitation?token={token}")).status_code == 404  # once
    await browser.sign_in(ADA, "another password")
    assert browser.page.status_code == 400
    await browser.send(email=ADA, password=PASSWORD)
    assert (browser.page.status_code, browser.path) == (200, HOME)
    assert (await browser.http.get("/v1/campaigns")).status_code == 200
    assert (await browser.http.get("/policies")).status_code == 200
    assert (await browser.http.get("/sink")).status_code == 403  # a viewer sees no messages
    await browser.send("/auth/account/sign-out-everywhere")
    assert browser.path == "/auth/sign-in"
    await browser.open(HOME)
    assert browser.path == "/auth/sign-in"


async def test_a_second_factor_is_asked_for_and_a_code_counts_once(world: World, acme: Caller) -> None:
    member(world.plane, acme.id, ADA)
    browser = Browser(world)
    await browser.sign_in(ADA)
    await browser.send("/auth/account/second-factor", password=PASSWORD)
    assert 'src="data:image/svg+xml' in browser.page.text
    secret = re.findall(r"<code[^>]*>(\w+)</code>", browser.page.text)[0]
    await browser.send(code="000000")
    assert browser.page.status_code == 400
    await browser.send("/auth/account/second-factor", password=PASSWORD)
    await browser.send(code=code(secret))
    recovery = re.findall(r"<code>([a-z0-9-]+)</code>", browser.page.text)
    assert len(recovery) == 10
    other = Browser(world)
    await other.sign_in(ADA)
    assert other.path == "/auth/second-factor"
    assert (await other.http.get("/v1/campaigns")).status_code == 401  # not in yet
    await other.send(code=code(secret))
    assert other.page.status_code == 400  # used to confirm
    await other.send(code=code(secret, 1))
    assert other.path == HOME
    for good in (True, False):
        third = Browser(world)
        await third.sign_in(ADA)
        await third.send(code=recovery[0].upper().replace("-", " "))
        assert (third.path == HOME) is good


async def test_a_tenant_that_asks_for_a_second_factor_gets_one_before_there_is_a_session(
    world: World, acme: Caller
) -> None:
    member(world.plane, acme.id, ADA)
    with world.plane._writing() as session:
        session.add(TenantSettingsRow(tenant_id=acme.id, approval=False, second_factor=True, origins=[], changed_at=0))
    browser = Browser(world)
    await browser.sign_in(ADA)
    assert browser.path == "/auth/set-up"
    assert (await browser.http.get("/v1/campaigns")).status_code == 401
    secret = re.findall(r"<code[^>]*>(\w+)</code>", browser.page.text)[0]
    await browser.send(code=code(secret))
    assert "not shown again" in text(browser)
    assert (await browser.http.get("/v1/campaigns")).status_code == 200
    status, problem = await acme.problem(
        "POST", "/auth/token", {"grant_type": "password", "username": ADA, "password": PASSWORD}
    )
    assert (status, problem) == (400, "second_factor_required")


async def test_somebody_of_two_tenants_chooses_and_sees_that_one(world: World, acme: Caller) -> None:
    other = world.tenant("other")
    member(world.plane, acme.id, ADA, "viewer")
    member(world.plane, other.id, ADA, "owner")
    browser = Browser(world)
    await browser.sign_in(ADA)
    assert browser.path == "/auth/tenant"
    await browser.send(tenant=other.id)
    assert (await browser.http.get("/v1/auth/session")).json()["tenant_id"] == other.id
    await world.parts.overview.reload()
    assert (await browser.http.get("/policies?tenant=acme")).status_code == 404


async def test_a_page_of_another_site_changes_nothing_with_somebody_s_session(world: World, acme: Caller) -> None:
    member(world.plane, acme.id, ADA)
    browser = Browser(world)
    await browser.sign_in(ADA)
    csrf = (await browser.http.get("/v1/auth/session")).json()["csrf_token"]
    body = {"email": {"provider": "sink"}}
    for headers, expected in (
        ({}, 403),
        ({"X-CSRF-Token": "x" * 64}, 403),
        ({"X-CSRF-Token": csrf, "Sec-Fetch-Site": "cross-site"}, 403),
        ({"X-CSRF-Token": csrf, "Sec-Fetch-Site": "same-site"}, 403),
        ({"X-CSRF-Token": csrf, "Origin": "https://evil.example"}, 403),
        ({"X-CSRF-Token": csrf, "Origin": "null"}, 403),
        ({"X-CSRF-Token": csrf, "Idempotency-Key": "k", "Origin": "null"}, 403),
        ({"X-CSRF-Token": csrf, "Origin": "http://whisperer.example"}, 200),
        ({"X-CSRF-Token": csrf, "Sec-Fetch-Site": "same-origin"}, 200),
    ):
        answer = await browser.http.put("/v1/channels", json=body, headers=headers)
        assert answer.status_code == expected, headers
        if expected == 403:
            assert answer.json()["code"] == "cross_site"


async def test_nobody_is_signed_in_by_a_form_of_another_site(world: World, acme: Caller) -> None:
    member(world.plane, acme.id, ADA)
    mine, theirs = Browser(world), Browser(world)
    await mine.open("/auth/sign-in")
    await theirs.open("/auth/sign-in")
    found = re.search(r'name="csrf_token" value="(\w+)"', mine.page.text)
    assert found is not None
    sent = {"email": ADA, "password": PASSWORD, "csrf_token": found[1]}
    for browser, headers in (
        (theirs, {}),
        (mine, {"Sec-Fetch-Site": "cross-site"}),
        (mine, {"Origin": "https://e.example"}),
    ):
        answer = await browser.http.post("/auth/sign-in", data=sent, headers=headers)
        assert answer.status_code == 403
        assert cookies.NAME not in browser.http.cookies


async def test_over_tls_cookies_are_for_this_host_alone(world: World, acme: Caller) -> None:
    member(world.plane, acme.id, ADA)
    browser = Browser(world, "https://whisperer.example")
    await browser.sign_in(ADA)
    set_cookies = [
        line for page in (*browser.page.history, browser.page) for line in page.headers.get_list("set-cookie")
    ]
    [session] = [line for line in set_cookies if line.startswith("__Host-whisperer_session=")]
    for part in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"):
        assert part in session
    assert "Domain" not in session
    plain = browser.http.cookies["__Host-whisperer_session"]
    other = Browser(world, "https://whisperer.example")
    assert (await other.http.get("/v1/campaigns", headers={"Cookie": f"whisperer_session={plain}"})).status_code == 401


async def test_a_link_sets_a_new_password_once_and_ends_every_sign_in(world: World, acme: Caller) -> None:
    person = member(world.plane, acme.id, ADA, "viewer")
    browser = Browser(world)
    await browser.sign_in(ADA)
    made = await acme.http.post(f"/v1/members/{person.id}/password-reset")
    assert made.status_code == 403  # a key may not, without the scope
    link = (await world.operator(acme).ok("POST", f"/members/{person.id}/password-reset"))["url"]
    path = link.removeprefix("http://127.0.0.1:8000")
    reader = Browser(world)
    await reader.open(path)
    await reader.send(password="password123")
    assert "first that somebody would try" in text(reader)
    await reader.send(password="fen moss dune reed")
    assert "signed out everywhere" in text(reader)
    assert (await browser.http.get("/v1/campaigns")).status_code in (200, 401)  # until the change is seen
    world.parts.access._take(world.plane.changes_since(-1))
    assert (await browser.http.get("/v1/campaigns")).status_code == 401
    await reader.open(path)
    await reader.send(password="fen moss dune rush")
    assert reader.page.status_code == 400
    await browser.sign_in(ADA)
    assert browser.page.status_code == 400
    await browser.sign_in(ADA, "fen moss dune reed")
    assert browser.path == HOME


async def test_who_manages_one_tenant_makes_no_link_for_a_member_of_two_nor_for_an_owner(
    world: World, acme: Caller
) -> None:
    other = world.tenant("other")
    both = member(world.plane, acme.id, "both@example.com", "viewer")
    member(world.plane, other.id, "both@example.com", "viewer")
    owner = member(world.plane, acme.id, "owner@example.com", "owner")
    stranger = member(world.plane, other.id, "stranger@example.com", "viewer")
    member(world.plane, acme.id, ADA, "admin")
    browser = Browser(world)
    await browser.sign_in(ADA)
    csrf = (await browser.http.get("/v1/auth/session")).json()["csrf_token"]
    for person, expected in ((both, 409), (owner, 403), (stranger, 404)):
        path = f"/v1/members/{person.id}/password-reset"
        assert (await browser.http.post(path, headers={"X-CSRF-Token": csrf})).status_code == expected


async def test_too_many_tries_are_slowed_down_and_say_when_to_come_back(world: World, acme: Caller) -> None:
    member(world.plane, acme.id, ADA)
    browser = Browser(world)
    for _ in range(10):
        assert (await browser.sign_in(ADA, "a wrong password")).status_code == 400
    assert (await browser.sign_in(ADA)).status_code == 429
    assert 1 <= int(browser.page.headers["Retry-After"]) <= 20
    grant = {"grant_type": "password", "username": ADA.upper(), "password": PASSWORD}
    answer = await acme.http.post("/v1/auth/token", data=grant)
    assert (answer.status_code, answer.json()["error"]) == (429, "slow_down")


@pytest.mark.parametrize(
    "address",
    ["", "//evil.example", "/\\evil.example", "https://evil.example", "javascript:1", "/a\nb", "evil", "/" * 3_000],
)
def test_after_signing_in_nobody_is_led_to_another_site(address: str) -> None:
    assert local(address) == HOME


async def test_every_page_of_signing_in_is_under_the_pages_policy(world: World) -> None:
    browser = Browser(world)
    for path in ("/auth/sign-in", "/auth/invitation?token=x", "/auth/reset?token=%3Cscript%3E"):
        page = await browser.open(path)
        assert "script-src 'self'" in page.headers["content-security-policy"]
        assert page.headers["cache-control"] == "no-store"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert "<script>" not in page.text
