"""The token endpoint, as OAuth clients and ours call it, and how soon a token stops."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import httpx
import jwt
import pytest

from cluster.control_plane.audit.acting import ActorKind
from cluster.control_plane.identity.grants import ACCESS_LIFE_S
from cluster.control_plane.models import AuditRow, MembershipRow, RoleRow, TenantRow
from cluster.control_plane.transactions import now_ms
from serve_apps.gateway.http import tokens as tokens_of
from tests.support.gateway_world import Caller, World
from tests.support.people import PASSWORD, member
from tests.support.tokens import ISSUER, granted, parts_of, signed
from whisperer.ids import TenantId, new_id

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
ADA = "ada@example.com"


async def asked(acme: Caller, **fields: str) -> httpx.Response:
    """Ask for a token by a form, without credentials of any other kind."""
    return await acme.http.post("/v1/auth/token", data=fields, headers={"Authorization": ""})


async def got(acme: Caller, token: str, path: str = "/campaigns") -> int:
    return (await acme("GET", path, headers={"Authorization": f"Bearer {token}"})).status_code


def seen(world: World) -> None:
    """Let the gateway see what has changed, as it does twice a second."""
    access = world.parts.access
    access._take(world.plane.changes_since(access._version))


async def test_a_password_gets_tokens_of_the_person_with_the_role_of_their_membership(
    world: World, acme: Caller
) -> None:
    person = member(world.plane, acme.id, ADA, "analyst")
    answer = await asked(acme, grant_type="password", username=ADA.upper(), password=PASSWORD)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert (body["token_type"], body["expires_in"]) == ("Bearer", ACCESS_LIFE_S)
    header, claims = parts_of(body["access_token"])
    assert (header["typ"], header["alg"]) == ("at+jwt", "RS256")
    assert claims.keys() >= {"iss", "aud", "exp", "nbf", "iat", "jti", "sub", "tenant", "roles", "permissions"}
    assert (claims["sub"], claims["tenant"], claims["roles"]) == (person.id, acme.id, ["analyst"])
    assert claims["exp"] - claims["iat"] == ACCESS_LIFE_S
    assert await got(acme, body["access_token"]) == 200
    assert await got(acme, body["access_token"], "/issuers") == 403
    principal = await world.parts.access.tokens.principal(body["access_token"], None)
    assert (principal.kind, principal.id, principal.name) == (ActorKind.PERSON, person.id, ADA)


async def test_anybody_can_check_a_token_by_the_public_keys(world: World, acme: Caller) -> None:
    first = granted(world, acme.id).access_token
    world.plane.rotate_signing_key("EdDSA")
    second = granted(world, acme.id).access_token
    keys = (await acme.http.get("/.well-known/jwks.json", headers={"Authorization": ""})).json()
    assert not {"d", "p", "q", "dp", "dq", "qi"} & {name for key in keys["keys"] for name in key}
    found = jwt.PyJWKSet.from_dict(keys)
    for token in (first, second):
        header, _ = parts_of(token)
        key = found[header["kid"]]
        jwt.decode(token, key, algorithms=[header["alg"]], audience="user-whisperer", issuer=ISSUER)
    assert [parts_of(token)[0]["alg"] for token in (first, second)] == ["RS256", "EdDSA"]
    assert [await got(acme, token) for token in (first, second)] == [200, 200]


async def test_a_secret_key_gets_a_short_token_with_the_key_s_permissions(world: World, acme: Caller) -> None:
    made = world.plane.create_key(acme.id, "secret", scopes=["campaigns:read"])
    basic = base64.b64encode(f"{made.id}:{made.key}".encode()).decode()
    by_header = await acme.http.post(
        "/v1/auth/token", data={"grant_type": "client_credentials"}, headers={"Authorization": f"Basic {basic}"}
    )
    by_body = await asked(acme, grant_type="client_credentials", client_id=made.id, client_secret=made.key)
    for answer in (by_header, by_body):
        assert answer.status_code == 200, answer.text
        assert "refresh_token" not in answer.json()
        token = answer.json()["access_token"]
        assert [await got(acme, token, path) for path in ("/campaigns", "/segments")] == [200, 403]
    world.plane.revoke_key(made.id)
    seen(world)
    assert await got(acme, token) == 401


async def test_a_key_that_is_bound_to_a_network_is_bound_there_as_a_token_too(world: World, acme: Caller) -> None:
    made = world.plane.create_key(acme.id, "secret", addresses=["10.0.0.0/8"])
    answer = await asked(acme, grant_type="client_credentials", client_secret=made.key)
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    record = world.plane.find_key_by_id(made.id)
    assert record is not None
    token = world.plane.grant_to_key(record, ISSUER).access_token
    tokens = world.parts.access.tokens
    assert (await tokens.principal(token, "10.1.2.3")).id == made.id
    for address in ("192.0.2.1", None):
        with pytest.raises(Exception, match="may not be used"):
            await tokens.principal(token, address)


async def test_a_refresh_token_counts_once_and_using_it_again_ends_all_that_came_of_it(
    world: World, acme: Caller
) -> None:
    first = granted(world, acme.id)
    second = (await asked(acme, grant_type="refresh_token", refresh_token=str(first.refresh_token))).json()
    third = (await asked(acme, grant_type="refresh_token", refresh_token=second["refresh_token"])).json()
    assert len({str(first.refresh_token), second["refresh_token"], third["refresh_token"]}) == 3
    assert await got(acme, third["access_token"]) == 200
    stolen = await asked(acme, grant_type="refresh_token", refresh_token=str(first.refresh_token))
    assert (stolen.status_code, stolen.json()["error"], stolen.json()["code"]) == (
        400,
        "invalid_grant",
        "invalid_grant",
    )
    seen(world)
    assert [await got(acme, one["access_token"]) for one in (second, third)] == [401, 401]
    again = await asked(acme, grant_type="refresh_token", refresh_token=third["refresh_token"])
    assert again.status_code == 400
    with world.plane._reading() as session:
        rows = session.query(AuditRow).filter_by(tenant_id=acme.id, resource="token_families").all()
        assert [row.after["revoked_for"] for row in rows if row.verb == "changed"] == ["reuse"]
        assert all("hash" not in str(row.after.get("hash", "(secret)")) for row in rows)


async def test_a_made_up_refresh_token_ends_nobody_s_sign_in(world: World, acme: Caller) -> None:
    made = granted(world, acme.id)
    id, root, _ = str(made.refresh_token).split("~")
    for token in (
        f"{id}~{'x' * 22}~{'y' * 43}",
        f"{id}~~",
        id,
        "rt_",
        "",
        "rt_fam_0~a~b",
        "\x00" * 300,
        "rt_\ud800~a~b",
    ):
        assert (await asked_json(acme, {"grant_type": "refresh_token", "refresh_token": token})).status_code == 400
    assert (await asked(acme, grant_type="refresh_token", refresh_token=str(made.refresh_token))).status_code == 200
    assert root


async def asked_json(acme: Caller, body: Any) -> httpx.Response:
    return await acme("POST", "/auth/token", body, headers={"Authorization": ""})


async def test_two_who_refresh_at_the_same_moment_do_not_both_get_a_token(world: World, acme: Caller) -> None:
    token = str(granted(world, acme.id).refresh_token)
    answers = await asyncio.gather(*(asked(acme, grant_type="refresh_token", refresh_token=token) for _ in range(4)))
    assert sum(answer.status_code == 200 for answer in answers) == 1


async def test_a_refresh_token_can_be_revoked_and_nobody_learns_whether_it_was_there(
    world: World, acme: Caller
) -> None:
    made = granted(world, acme.id)
    for token in (str(made.refresh_token), str(made.refresh_token), "rt_nothing", made.access_token):
        answer = await acme.http.post("/v1/auth/revoke", data={"token": token}, headers={"Authorization": ""})
        assert answer.status_code == 200
    seen(world)
    assert await got(acme, made.access_token) == 401


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"grant_type": "implicit"}, "unsupported_grant_type"),
        ({}, "invalid_request"),
        ({"grant_type": "password"}, "invalid_grant"),
        ({"grant_type": "password", "username": "nobody@example.com", "password": "x" * 5_000}, "invalid_grant"),
        ({"grant_type": "client_credentials"}, "invalid_client"),
        ({"grant_type": "client_credentials", "client_secret": "wk_x"}, "invalid_client"),
        ({"grant_type": "refresh_token"}, "invalid_grant"),
    ],
)
async def test_what_is_refused_says_so_as_oauth_does(acme: Caller, fields: dict[str, str], error: str) -> None:
    for answer in (await asked(acme, **fields), await asked_json(acme, fields)):
        body = answer.json()
        assert body["error"] == error
        assert answer.status_code == (401 if error == "invalid_client" else 400)
        assert body["error_description"].isascii()
        assert {"type", "title", "status", "code", "message"} <= body.keys()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"grant_type=password&grant_type=x", b"\xff=1", b"a&" * 30, b'{"grant_type": 1}']
)
async def test_a_body_that_is_no_form_and_no_json_is_an_invalid_request(acme: Caller, body: bytes) -> None:
    for headers in (FORM, {}):
        answer = await acme("POST", "/auth/token", body, headers={"Authorization": "", **headers})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_an_answer_with_tokens_is_not_stored_under_an_idempotency_key(world: World, acme: Caller) -> None:
    token = str(granted(world, acme.id).refresh_token)
    body = {"grant_type": "refresh_token", "refresh_token": token}
    first = await acme("POST", "/auth/token", body, headers={"Idempotency-Key": "k"})
    second = await acme("POST", "/auth/token", body, headers={"Idempotency-Key": "k"})
    assert (first.status_code, second.status_code) == (200, 400)


async def test_a_token_stops_when_its_person_is_no_longer_a_member_and_follows_their_role(
    world: World, acme: Caller
) -> None:
    person = member(world.plane, acme.id, ADA, "viewer")
    token = world.plane.grant_to_person(TenantId(acme.id), person.id, "test", ISSUER).access_token
    assert [await got(acme, token, path) for path in ("/campaigns", "/issuers")] == [200, 403]
    with world.plane._writing() as session:
        session.get_one(MembershipRow, (acme.id, person.id)).role = "admin"
    seen(world)
    assert await got(acme, token, "/issuers") == 200
    with world.plane._writing() as session:
        session.add(RoleRow(tenant_id=TenantId(acme.id), name="own", permissions=["segments:read"], changed_at=0))
        session.get_one(MembershipRow, (acme.id, person.id)).role = "own"
    seen(world)
    assert [await got(acme, token, path) for path in ("/campaigns", "/segments")] == [403, 200]
    with world.plane._writing() as session:
        session.delete(session.get_one(MembershipRow, (acme.id, person.id)))
    seen(world)
    assert await got(acme, token, "/segments") == 401


async def test_who_is_disabled_is_out_everywhere(world: World, acme: Caller) -> None:
    person = member(world.plane, acme.id, ADA, "viewer")
    made = world.plane.grant_to_person(TenantId(acme.id), person.id, "test", ISSUER)
    assert await got(acme, made.access_token) == 200
    world.plane.disable_person(person.id)
    seen(world)
    assert await got(acme, made.access_token) == 401
    assert (await asked(acme, grant_type="refresh_token", refresh_token=str(made.refresh_token))).status_code == 400
    assert (await asked(acme, grant_type="password", username=ADA, password=PASSWORD)).status_code == 400


async def test_members_of_a_tenant_sign_in_to_its_environments_with_a_token_for_each(
    world: World, acme: Caller
) -> None:
    test = TenantId(new_id("tn"))
    with world.plane._writing() as session:
        session.add(
            TenantRow(
                id=test,
                name="acme.test",
                folded_name="acme.test",
                created_at=now_ms(),
                environment="test",
                environment_of=TenantId(acme.id),
            )
        )
    member(world.plane, acme.id, ADA, "viewer")
    fields = {"grant_type": "password", "username": ADA, "password": PASSWORD}
    unsaid = await asked(acme, **fields)
    assert (unsaid.status_code, unsaid.json()["code"]) == (400, "tenant_required")
    for tenant in ("acme", "acme.test"):
        token = (await asked(acme, **fields, tenant=tenant)).json()["access_token"]
        answer = await acme.http.get("/v1/auth/session", headers={"Authorization": f"Bearer {token}"})
        assert answer.json()["tenant_id"] == (test if tenant == "acme.test" else acme.id)
    nobodys = await asked(acme, **fields, tenant="other")
    assert (nobodys.status_code, nobodys.json()["error"]) == (400, "invalid_grant")


async def test_a_good_token_is_looked_up_once(world: World, acme: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    n_asked, standing = 0, world.plane.standing

    def counted(*args: Any) -> Any:
        nonlocal n_asked
        n_asked += 1
        return standing(*args)

    monkeypatch.setattr(world.plane, "standing", counted)
    other = world.tenant("other")
    made = [granted(world, acme.id).access_token, granted(world, other.id).access_token]
    seen(world)
    n_asked = 0
    for _ in range(5):
        assert [await got(acme, token) for token in made] == [200, 200]
    assert n_asked == 2
    world.plane.publish_segment(other.id, "s", {"event": "Paid", "op": "gte", "count": 1, "days": 7})
    seen(world)
    assert [await got(acme, token) for token in made] == [200, 200]
    assert n_asked == 3  # only the other tenant's


async def test_what_is_remembered_of_tokens_is_bounded_and_ends_with_them(
    world: World, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens_of, "MAX_REMEMBERED", 3)
    tokens = world.parts.access.tokens
    made = [granted(world, acme.id).access_token for _ in range(5)]
    for token in made:
        await tokens.principal(token, None)
    assert len(tokens._known) == 3
    later = now_ms() + ACCESS_LIFE_S * 1000
    monkeypatch.setattr(tokens, "_clock_ms", lambda: later)
    assert tokens._remembered(next(reversed(tokens._known))) is None


async def test_people_see_and_end_their_own_sign_ins_and_nobody_else_s(world: World, acme: Caller) -> None:
    ada, bob = (member(world.plane, acme.id, f"{name}@example.com", "viewer") for name in ("ada", "bob"))
    hers, other, his = (
        world.plane.grant_to_person(TenantId(acme.id), who.id, "test", ISSUER) for who in (ada, ada, bob)
    )
    headers = {"Authorization": f"Bearer {hers.access_token}"}
    listed = (await acme("GET", "/auth/sessions", headers=headers)).json()["data"]
    assert [one["current"] for one in listed] == [True, False]
    [theirs] = world.plane.list_families(person_id=bob.id)
    assert (await acme("DELETE", f"/auth/sessions/{theirs.id}", headers=headers)).status_code == 404
    assert (await acme("DELETE", f"/auth/sessions/{listed[1]['id']}", headers=headers)).status_code == 200
    seen(world)
    assert [await got(acme, one.access_token) for one in (hers, other, his)] == [200, 401, 200]
    assert (await acme("DELETE", "/auth/sessions", headers=headers)).json() == {"ended": 1}
    assert (await acme("DELETE", "/auth/sessions")).status_code == 403  # a key has none


async def test_a_new_password_ends_all_other_sign_ins(world: World, acme: Caller) -> None:
    ada = member(world.plane, acme.id, ADA, "viewer")
    here, there = (world.plane.grant_to_person(TenantId(acme.id), ada.id, "test", ISSUER) for _ in range(2))
    headers = {"Authorization": f"Bearer {here.access_token}"}
    for body, expected in (
        ({"current": "wrong", "new": "fen moss dune reed"}, 400),
        ({"current": PASSWORD, "new": "short"}, 422),
        ({"current": PASSWORD, "new": "fen moss dune reed"}, 200),
    ):
        assert (await acme("POST", "/auth/password", body, headers=headers)).status_code == expected
    seen(world)
    assert [await got(acme, one.access_token) for one in (here, there)] == [200, 401]


async def test_a_text_with_a_nul_is_refused_wherever_it_is_sent(world: World, acme: Caller) -> None:
    operator = world.operator(acme)
    person = member(world.plane, acme.id, ADA, "viewer")
    headers = {
        "Authorization": f"Bearer {world.plane.grant_to_person(TenantId(acme.id), person.id, 't', ISSUER).access_token}"
    }
    nul = "a\x00b"
    new = {"issuer": "https://i.example", "client_id": nul, "role_claim": nul, "roles": {nul: nul}}
    answers = [
        await asked(acme, grant_type="password", username=f"{nul}@example.com", password=PASSWORD),
        await asked(acme, grant_type="password", username=ADA, password=PASSWORD, tenant=nul),
        await asked(acme, grant_type="refresh_token", refresh_token=f"rt_{nul}~a~b"),
        await asked(acme, grant_type="client_credentials", client_secret=nul),
        await acme("POST", "/auth/invitations/accept", {"token": nul, "password": PASSWORD, "name": nul}),
        await acme("DELETE", "/auth/sessions/a%00b", headers=headers),
        await operator("GET", "/issuers/a%00b"),
        await operator("DELETE", "/issuers/a%00b"),
        await operator("POST", "/issuers", new),
        await operator("POST", "/members/a%00b/password-reset"),
        await acme.http.get("/auth/login/a%00b"),
        await acme.http.get("/v1/campaigns", headers={"Authorization": "", "Cookie": "whisperer_session=ss_%00~a~b"}),
    ]
    assert [answer.status_code for answer in answers if not 400 <= answer.status_code < 500] == []
    token = {
        "Authorization": "Bearer " + signed(world.plane, *_of(granted(world, acme.id).access_token, {"tenant": nul}))
    }
    assert (await acme("GET", "/campaigns", headers=token)).status_code == 401


def _of(token: str, claims: dict[str, Any]) -> tuple[Any, Any]:
    header, were = parts_of(token)
    return header, were | claims
