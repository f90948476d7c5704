"""Tokens that somebody has tampered with, sent to the application: each is refused with 401, and says nothing else.

Each attack starts from a good token of this installation, which is accepted first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import OKPAlgorithm

from cluster.control_plane.identity.jwts import MAX_TOKEN_BYTES
from tests.support.gateway_world import Caller, World
from tests.support.tokens import by_secret, granted, now_s, part, parts_of, signed

THEIRS = Ed25519PrivateKey.generate()
"""The attacker's own key."""


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Caller]]:
    """One installation for all attacks, which change nothing."""
    folder = tmp_path_factory.mktemp("attacked")
    world = World(folder, f"sqlite:///{folder / 'control.db'}")
    yield world, world.tenant("acme")
    world.close()


class Attack:
    """A good token's header and claims, to change; and what an attacker has."""

    def __init__(self, world: World, tenant: str) -> None:
        self.world = world
        self.good = granted(world, tenant)
        self.header, self.claims = parts_of(self.good.access_token)

    def by_us(self, header: Any = None, claims: Any = None) -> str:
        """As our own key signs it: so only what is wrong with it can be the reason."""
        return signed(self.world.plane, self.header | (header or {}), self.claims | (claims or {}))

    def by_them(self, header: Any = None, claims: Any = None) -> str:
        changed = self.header | {"alg": "EdDSA"} | (header or {})
        return signed(self.world.plane, changed, self.claims | (claims or {}), THEIRS)

    @property
    def public_pem(self) -> bytes:
        key = self.world.plane._signer()[2].public_key()
        return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def their_jwk(self) -> dict[str, Any]:
        return OKPAlgorithm.to_jwk(THEIRS.public_key(), as_dict=True) | {"kid": "theirs"}


def without_signature(attack: Attack, algorithm: str) -> str:
    return f"{part(attack.header | {'alg': algorithm})}.{part(attack.claims)}."


def duplicate(attack: Attack, name: str, other: str) -> str:
    """A token of ours whose claims name something twice, the attacker's choice last."""
    text = json.dumps(attack.claims)[:-1] + f', "{name}": {json.dumps(other)}}}'
    return signed(attack.world.plane, attack.header, text.encode())


def duplicate_header(attack: Attack) -> str:
    text = '{"alg": "none", ' + json.dumps(attack.header)[1:]
    return signed(attack.world.plane, text.encode(), attack.claims)


def rsa_of_the_same_kid(attack: Attack) -> str:
    return signed(
        attack.world.plane, attack.header | {"alg": "RS256"}, attack.claims, generate_private_key(65_537, 2_048)
    )


ATTACKS: dict[str, Callable[[Attack], str]] = {
    "no signature, alg none": lambda a: without_signature(a, "none"),
    "no signature, alg None": lambda a: without_signature(a, "None"),
    "no signature, alg nOnE": lambda a: without_signature(a, "nOnE"),
    "no signature, alg as before": lambda a: without_signature(a, a.header["alg"]),
    "alg none, signature as before": lambda a: (
        f"{part(a.header | {'alg': 'none'})}.{'.'.join(a.good.access_token.split('.')[1:])}"
    ),
    "alg is missing": lambda a: signed(a.world.plane, {k: v for k, v in a.header.items() if k != "alg"}, a.claims),
    "alg is a list": lambda a: a.by_us({"alg": ["RS256"]}),
    "HS256 by the public key in PEM": lambda a: by_secret(a.header | {"alg": "HS256"}, a.claims, a.public_pem),
    "HS256 by nothing": lambda a: by_secret(a.header | {"alg": "HS256"}, a.claims, b""),
    "HS256 by the key's JWK": lambda a: by_secret(
        a.header | {"alg": "HS256"}, a.claims, json.dumps(a.world.plane.jwks()["keys"][0]).encode()
    ),
    "EdDSA by the kid of an RSA key": lambda a: a.by_them(),
    "RS256 by another key of the same kid": rsa_of_the_same_kid,
    "PS256 in the header of an RS256 signature": lambda a: a.by_us({"alg": "PS256"}),
    "kid: a path": lambda a: a.by_us({"kid": "../../../../dev/null"}),
    "kid: a path, HS256 by an empty file": lambda a: by_secret(
        a.header | {"alg": "HS256", "kid": "/dev/null"}, a.claims, b""
    ),
    "kid: SQL": lambda a: a.by_us({"kid": "' OR '1'='1"}),
    "kid: SQL that gives a key": lambda a: by_secret(
        a.header | {"alg": "HS256", "kid": "x' UNION SELECT 'secret' -- "}, a.claims, b"secret"
    ),
    "kid: a command": lambda a: a.by_us({"kid": "|id"}),
    "kid: an address": lambda a: a.by_us({"kid": "https://evil.example/key"}),
    "kid: empty": lambda a: a.by_us({"kid": ""}),
    "kid: missing": lambda a: signed(a.world.plane, {k: v for k, v in a.header.items() if k != "kid"}, a.claims),
    "kid: a number": lambda a: a.by_us({"kid": 1}),
    "kid: an object": lambda a: a.by_us({"kid": {"$ne": None}}),
    "kid: long": lambda a: a.by_us({"kid": "k" * 1_000}),
    "jku": lambda a: a.by_them({"jku": "https://evil.example/jwks.json", "kid": "theirs"}),
    "jku on a good token": lambda a: a.by_us({"jku": "https://evil.example/jwks.json"}),
    "x5u": lambda a: a.by_them({"x5u": "https://evil.example/key.pem", "kid": "theirs"}),
    "x5u on a good token": lambda a: a.by_us({"x5u": "https://evil.example/key.pem"}),
    "x5c": lambda a: a.by_them({"x5c": ["MIIB"], "kid": "theirs"}),
    "a jwk along with it": lambda a: a.by_them({"jwk": a.their_jwk, "kid": "theirs"}),
    "a jwk of our kid": lambda a: a.by_them({"jwk": a.their_jwk | {"kid": a.header["kid"]}}),
    "a jwk on a good token": lambda a: a.by_us({"jwk": a.their_jwk}),
    "crit": lambda a: a.by_us({"crit": ["exp"], "exp": 1}),
    "crit, empty": lambda a: a.by_us({"crit": []}),
    "b64 false": lambda a: a.by_us({"b64": False, "crit": ["b64"]}),
    "b64 true": lambda a: a.by_us({"b64": True}),
    "zip": lambda a: a.by_us({"zip": "DEF"}),
    "expired": lambda a: a.by_us(claims={"exp": now_s() - 60}),
    "expired long ago, exp negative": lambda a: a.by_us(claims={"exp": -1}),
    "no exp": lambda a: signed(a.world.plane, a.header, {k: v for k, v in a.claims.items() if k != "exp"}),
    "exp is a text": lambda a: a.by_us(claims={"exp": "tomorrow"}),
    "exp is null": lambda a: a.by_us(claims={"exp": None}),
    "exp without an end": lambda a: signed(
        a.world.plane, a.header, json.dumps(a.claims | {"exp": 0}).replace('"exp": 0', '"exp": 1e999').encode()
    ),
    "exp is NaN": lambda a: signed(a.world.plane, a.header, json.dumps(a.claims | {"exp": float("nan")}).encode()),
    "not valid yet": lambda a: a.by_us(claims={"nbf": now_s() + 3_600}),
    "issued in the future": lambda a: a.by_us(claims={"iat": now_s() + 3_600}),
    "no nbf": lambda a: signed(a.world.plane, a.header, {k: v for k, v in a.claims.items() if k != "nbf"}),
    "no jti": lambda a: signed(a.world.plane, a.header, {k: v for k, v in a.claims.items() if k != "jti"}),
    "another audience": lambda a: a.by_us(claims={"aud": "another-service"}),
    "an audience among others": lambda a: a.by_us(claims={"aud": ["another-service", "user-whisperer"]}),
    "no audience": lambda a: signed(a.world.plane, a.header, {k: v for k, v in a.claims.items() if k != "aud"}),
    "another issuer": lambda a: a.by_us(claims={"iss": "https://evil.example"}),
    "no issuer": lambda a: signed(a.world.plane, a.header, {k: v for k, v in a.claims.items() if k != "iss"}),
    "an issuer that is a list": lambda a: a.by_us(claims={"iss": ["user-whisperer"]}),
    "a refresh token": lambda a: str(a.good.refresh_token),
    "a token of a step of signing in": lambda a: a.by_us({"typ": "step+jwt"}),
    "a token of a link": lambda a: a.by_us({"typ": "reset+jwt"}),
    "typ JWT": lambda a: a.by_us({"typ": "JWT"}),
    "no typ": lambda a: signed(a.world.plane, {k: v for k, v in a.header.items() if k != "typ"}, a.claims),
    "two tenants": lambda a: duplicate(a, "tenant", "tn_other"),
    "two exps": lambda a: duplicate(a, "exp", "9999999999"),
    "two subjects, the same": lambda a: duplicate(a, "sub", a.claims["sub"]),
    "two algs": duplicate_header,
    "no tenant": lambda a: signed(a.world.plane, a.header, {k: v for k, v in a.claims.items() if k != "tenant"}),
    "a tenant that is a list": lambda a: a.by_us(claims={"tenant": [a.claims["tenant"]]}),
    "huge": lambda a: a.by_us(claims={"more": "x" * MAX_TOKEN_BYTES}),
    "huge, without dots": lambda a: "e" * 100_000 + ".",
    "deeply nested": lambda a: signed(a.world.plane, a.header, b"[" * 3_000 + b"]" * 3_000),
    "a number of thousands of digits": lambda a: signed(
        a.world.plane, a.header, json.dumps(a.claims | {"exp": 0}).replace('"exp": 0', '"exp": ' + "9" * 5_000).encode()
    ),
    "claims that are a list": lambda a: signed(a.world.plane, a.header, [a.claims]),
    "claims that are no UTF-8": lambda a: signed(a.world.plane, a.header, b'{"sub": "\xff"}'),
    "four parts": lambda a: a.good.access_token + ".e30",
    "five parts, as if encrypted": lambda a: "e30.e30.e30.e30.e30",
    "padding": lambda a: a.good.access_token + "=",
    "a blank in it": lambda a: a.good.access_token.replace(".", ". ", 1),
    "the signature of another token": lambda a: ".".join(
        (*a.good.access_token.split(".")[:2], granted(a.world, "acme").access_token.split(".")[2])
    ),
    "one claim changed": lambda a: ".".join(
        (part(a.header), part(a.claims | {"roles": ["owner"]}), a.good.access_token.split(".")[2])
    ),
    "a key that does not exist": lambda a: a.by_us(
        claims={"sub": "key_0", "sid": None},
    ),
}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
async def test_a_token_that_was_tampered_with_is_refused(
    attacked: tuple[World, Caller], attack: Callable[[Attack], str]
) -> None:
    world, acme = attacked
    made = Attack(world, acme.id)
    for token, expected in ((made.good.access_token, 200), (attack(made), 401), (made.good.access_token, 200)):
        answer = await acme("GET", "/campaigns", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == expected, answer.text
    refused = await acme("GET", "/campaigns", headers={"Authorization": f"Bearer {attack(made)}"})
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["code"] in ("invalid_token", "invalid_key")


async def test_a_token_sees_its_own_tenant_whatever_it_is_asked(world: World, acme: Caller) -> None:
    other = world.tenant("other")
    await other.ok(
        "POST", "/segments", {"name": "theirs", "predicate": {"event": "Paid", "op": "gte", "count": 1, "days": 7}}
    )
    theirs = {"Authorization": f"Bearer {granted(world, other.id).access_token}"}
    ours = {"Authorization": f"Bearer {granted(world, acme.id).access_token}"}
    assert (await acme("GET", "/segments/theirs", headers=theirs)).status_code == 200
    for more in ({}, {"X-Tenant": other.id}, {"Cookie": f"tenant={other.id}"}):
        assert (await acme("GET", "/segments/theirs", headers=ours | more)).status_code == 404
        assert (await acme("GET", "/segments", headers=ours | more)).json()["data"] == []
        asked = await acme("GET", f"/segments?tenant={other.id}", headers=ours | more)
        assert (asked.status_code, asked.json()["code"]) == (400, "unknown_parameter")
    status = await acme.http.get(f"/internal/tenants/{other.id}/segments", headers=ours)
    assert status.status_code == 401


async def test_a_token_of_ours_that_names_a_tenant_which_its_sign_in_is_not_of_is_refused(
    world: World, acme: Caller
) -> None:
    other = world.tenant("other")
    attack = Attack(world, acme.id)
    token = attack.by_us(claims={"tenant": other.id})
    assert (await acme("GET", "/campaigns", headers={"Authorization": f"Bearer {token}"})).status_code == 401


async def test_the_kid_of_another_installation_s_key_is_refused(world: World, acme: Caller, tmp_path: Any) -> None:
    (tmp_path / "theirs").mkdir()
    foreign = World(tmp_path / "theirs", f"sqlite:///{tmp_path / 'theirs' / 'control.db'}")
    try:
        made = foreign.tenant("acme")
        token = granted(foreign, made.id).access_token
        assert (await made("GET", "/campaigns", headers={"Authorization": f"Bearer {token}"})).status_code == 200
        assert (await acme("GET", "/campaigns", headers={"Authorization": f"Bearer {token}"})).status_code == 401
    finally:
        foreign.close()


async def test_made_up_kids_make_nobody_read_the_database_again_and_again(
    world: World, acme: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_read, keys = 0, world.plane.verification_keys

    def counted() -> Any:
        nonlocal n_read
        n_read += 1
        return keys()

    monkeypatch.setattr(world.plane, "verification_keys", counted)
    monkeypatch.setattr(world.parts.access.tokens, "_clock_ms", lambda: 1_000_000)
    attack = Attack(world, acme.id)
    for n in range(20):
        token = attack.by_us({"kid": f"sgk_{n}"})
        assert (await acme("GET", "/campaigns", headers={"Authorization": f"Bearer {token}"})).status_code == 401
    assert n_read == 1
