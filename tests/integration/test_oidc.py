"""Signing in with a real OpenID Connect provider, and the tokens that it signs."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from cluster.control_plane import ControlPlane
from cluster.control_plane.identity.issuers import Issuer
from cluster.control_plane.models import MembershipRow
from serve_apps.gateway.http import issuers as issuers_of
from tests.support.gateway_world import Caller, World
from tests.support.oidc_provider import free_port, provider
from tests.support.people import member

HERE = "http://127.0.0.1:8000"
CALLBACK = f"{HERE}/auth/callback"
SECRET = "their secret of 32 characters ..."


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def address(port: int) -> Iterator[str]:
    with provider(port, CALLBACK) as found:
        yield found


@pytest.fixture
def world(tmp_path: Path, plane_url: str) -> Iterator[World]:
    made = World(tmp_path, plane_url)
    yield made
    made.close()


@pytest.fixture
def acme(world: World) -> Caller:
    return world.tenant("acme")


def trusted(world: World, acme: Caller, address: str, **more: object) -> Issuer:
    roles = {"growth": "marketer"}
    asked = {"client_id": "whisperer", "client_secret": SECRET, "role_claim": "groups", "roles": roles, **more}
    return world.plane.add_issuer(acme.id, address, **asked)  # type: ignore[arg-type]


class Visitor:
    """A browser that reaches the application and the provider."""

    def __init__(self, world: World) -> None:
        ours = httpx.ASGITransport(app=world.app, raise_app_exceptions=False)
        alone = httpx.Limits(max_keepalive_connections=0)  # so nothing is left to close
        self.http = httpx.AsyncClient(
            mounts={HERE: ours}, follow_redirects=True, timeout=30, trust_env=False, limits=alone
        )

    async def log_in(self, issuer: Issuer, name: str, following: str = "") -> httpx.Response:
        page = await self.http.get(f"{HERE}/auth/login/{issuer.id}?next={following}")
        for _ in range(3):
            form = re.search(r'<form[^>]*action="([^"]+/interaction/[^"]+|/interaction/[^"]+)"', page.text)
            if form is None:
                break
            prompt = re.search(r'name="prompt" value="(\w+)"', page.text)
            assert prompt is not None, page.text
            sent = {"prompt": prompt[1], "login": name, "password": "x"}
            page = await self.http.post(page.url.join(html.unescape(form[1])), data=sent)
        return page


async def test_somebody_signs_in_with_their_issuer_and_has_the_role_that_it_gives(
    world: World, acme: Caller, address: str
) -> None:
    issuer = trusted(world, acme, address)
    visitor = Visitor(world)
    page = await visitor.log_in(issuer, "ada", "/policies")
    assert (page.status_code, page.url.path) == (200, "/policies"), page.text
    session = (await visitor.http.get(f"{HERE}/v1/auth/session")).json()
    assert (session["kind"], session["name"], session["tenant_id"]) == ("person", "ada@example.com", acme.id)
    assert "campaigns:publish" in session["permissions"]
    assert "keys:write" not in session["permissions"]
    await Visitor(world).log_in(issuer, "ada")
    [person] = world.plane.list_people()
    assert not person.has_password


async def test_an_issuer_speaks_for_nobody_who_has_an_account_here(world: World, acme: Caller, address: str) -> None:
    other = world.tenant("other")
    ada = member(world.plane, other.id, "ada@example.com", "owner")
    issuer = trusted(world, acme, address)
    visitor = Visitor(world)
    await visitor.log_in(issuer, "ada")
    session = (await visitor.http.get(f"{HERE}/v1/auth/session")).json()
    assert (session["tenant_id"], session["id"] == ada.id) == (acme.id, False)
    assert len(world.plane.places(ada.id)) == 1


async def test_whom_the_issuer_gives_no_role_is_not_let_in(world: World, acme: Caller, address: str) -> None:
    issuer = trusted(world, acme, address)
    page = await Visitor(world).log_in(issuer, "nobody")
    assert (page.status_code, "not a member" in page.text) == (400, True), page.text
    assert world.plane.list_people() == []
    everybody = world.plane.change_issuer(issuer.id, acme.id, {"roles": {"*": "viewer"}})
    assert (await Visitor(world).log_in(everybody, "nobody")).status_code == 200


async def test_an_address_that_the_issuer_has_not_verified_is_not_shown(
    world: World, acme: Caller, address: str
) -> None:
    await Visitor(world).log_in(trusted(world, acme, address), "unverified")
    assert [person.email for person in world.plane.list_people()] == ["unverified"]


async def test_an_answer_to_a_login_that_this_browser_did_not_begin_is_refused(
    world: World, acme: Caller, address: str
) -> None:
    issuer = trusted(world, acme, address)
    victim, attacker = Visitor(world), Visitor(world)
    for visitor in (victim, attacker):
        visitor.http.follow_redirects = False
    begun = await attacker.http.get(f"{HERE}/auth/login/{issuer.id}")
    asked = parse_qs(urlsplit(begun.headers["location"]).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert asked["response_type"] == ["code"]
    assert {"state", "nonce", "code_challenge"} <= asked.keys()
    await victim.http.get(f"{HERE}/auth/login/{issuer.id}")
    state = asked["state"][0]
    for visitor, query in (
        (victim, {"code": "c", "state": state}),
        (victim, {"code": "c"}),
        (Visitor(world), {"code": "c", "state": state}),
        (attacker, {"code": "c", "state": state, "iss": "https://evil.example"}),
        (attacker, {"code": "made-up", "state": state}),
        (attacker, {"error": "access_denied<script>", "state": state}),
    ):
        page = await visitor.http.get(CALLBACK, params=query)
        assert page.status_code == 400, query
        assert "<script>" not in page.text
        assert "whisperer_session" not in visitor.http.cookies


async def bearer(address: str, audience: str, client: str = "whisperer", secret: str = SECRET) -> str:
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(
            f"{address}/token",
            data={"grant_type": "client_credentials", "scope": "api", "resource": f"urn:{audience}"},
            auth=(client, secret),
        )
    assert answer.status_code == 200, answer.text
    found: str = answer.json()["access_token"]
    return found


async def test_a_token_of_a_trusted_issuer_acts_with_the_role_that_it_gives(
    world: World, acme: Caller, address: str
) -> None:
    token = {"Authorization": f"Bearer {await bearer(address, 'acme-api')}"}
    assert (await acme("GET", "/campaigns", headers=token)).status_code == 401
    issuer = trusted(world, acme, address, audience="acme-api")
    assert (await acme("GET", "/campaigns", headers=token)).status_code == 200
    assert (await acme("GET", "/issuers", headers=token)).status_code == 403
    other = world.tenant("other")
    for_others = {"Authorization": f"Bearer {await bearer(address, 'other-api')}"}
    assert (await acme("GET", "/campaigns", headers=for_others)).status_code == 401
    taken = {"issuer": address, "client_id": "x", "audience": "acme-api"}
    assert await world.operator(other).problem("POST", "/issuers", taken) == (409, "issuer_exists")
    world.plane.remove_issuer(issuer.id, acme.id)
    world.parts.access._take(world.plane.changes_since(world.parts.access._version))
    assert (await acme("GET", "/campaigns", headers=token)).status_code == 401


async def test_the_token_of_somebody_who_is_no_longer_a_member_stops(world: World, acme: Caller, address: str) -> None:
    issuer = trusted(world, acme, address, audience="acme-api", roles={"*": "viewer"})
    token = {"Authorization": f"Bearer {await bearer(address, 'acme-api')}"}
    assert (await acme("GET", "/campaigns", headers=token)).status_code == 200
    person = world.plane.person_of_issuer(issuer.id, issuer.tenant_id, "whisperer", "w", "w", "viewer")
    with world.plane._writing() as session:
        session.delete(session.get_one(MembershipRow, (acme.id, person.id)))
    world.parts.access._take(world.plane.changes_since(-1))
    assert (await acme("GET", "/campaigns", headers=token)).status_code == 401


async def test_new_keys_of_an_issuer_are_fetched_at_most_once_in_a_while(
    world: World, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, port = 1_000.0, free_port()
    monkeypatch.setattr(world.issuers, "_clock", lambda: now)
    n_asked, get = 0, world.issuers._get

    async def counted(url: str, kind: type) -> object:
        nonlocal n_asked
        n_asked += 1
        return await get(url, kind)

    monkeypatch.setattr(world.issuers, "_get", counted)
    with provider(port, CALLBACK) as address:
        trusted(world, acme, address, audience="acme-api")
        first = {"Authorization": f"Bearer {await bearer(address, 'acme-api')}"}
        assert (await acme("GET", "/campaigns", headers=first)).status_code == 200
    assert n_asked == 2
    with provider(port, CALLBACK) as address:  # with other keys
        second = {"Authorization": f"Bearer {await bearer(address, 'acme-api')}"}
        for _ in range(5):
            assert (await acme("GET", "/campaigns", headers=second)).status_code == 401
        assert n_asked == 2
        now += issuers_of.REFETCH_S
        assert (await acme("GET", "/campaigns", headers=second)).status_code == 200
        assert n_asked == 4
    now += issuers_of.REFETCH_S
    third = await asyncio.gather(*(acme("GET", "/campaigns", headers=first) for _ in range(3)))
    assert {answer.status_code for answer in third} == {200}  # remembered: the token was seen to be good


@pytest.mark.parametrize(
    "issuer", ["http://issuer.example", "https://10.0.0.1", "https://127.0.0.1:1", "http://localhost:1"]
)
async def test_an_issuer_at_an_address_that_is_private_is_never_called(world: World, acme: Caller, issuer: str) -> None:
    away = issuers_of.TrustedIssuers(world.plane, world.parts.access.look, is_local=False)
    with pytest.raises(Exception, match="does not answer"):
        await away.discovery(issuer)


def test_an_issuer_that_names_roles_which_make_owners_is_refused(world: World, acme: Caller) -> None:
    plane: ControlPlane = world.plane
    for roles, url in (
        ({"*": "owner"}, "https://i.example"),
        ({"*": "king"}, "https://i.example"),
        ({}, "http://i.example"),
    ):
        with pytest.raises(Exception, match="cannot be used"):
            plane.add_issuer(acme.id, url, client_id="c", roles=roles)
