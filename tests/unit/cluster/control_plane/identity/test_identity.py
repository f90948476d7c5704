"""Signing keys, families and invitations, in the control plane itself."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from cluster.control_plane import ControlPlane
from cluster.control_plane.identity import families, signing_keys
from cluster.control_plane.identity.families import FamilyKind
from cluster.control_plane.identity.jwts import Use
from cluster.control_plane.models import AuditRow, PersonRow, TokenFamilyRow
from tests.support.keyring import KEYRING
from tests.support.people import PASSWORD, invite, member
from whisperer.errors import ConflictError, NotFoundError, RequestError


@pytest.fixture
def plane(plane_url: str) -> Iterator[ControlPlane]:
    with ControlPlane(plane_url, keyring=KEYRING) as made:
        yield made


def test_the_first_key_is_made_when_it_is_needed_and_only_once(plane: ControlPlane) -> None:
    assert plane.jwks() == {"keys": []}
    for _ in range(3):
        plane.sign(Use.ACCESS, {"sub": "x"}, issuer="i", life_s=60)
    assert len(plane.list_signing_keys()) == 1


def test_a_retired_key_verifies_until_its_tokens_have_ended_and_is_deleted_after_that(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plane.rotate_signing_key("EdDSA")
    second = plane.rotate_signing_key("EdDSA")
    assert plane.verification_keys().keys() == {first.id, second.id}
    later = signing_keys.now_ms() + signing_keys.LONGEST_TOKEN_MS + 1
    monkeypatch.setattr(signing_keys, "now_ms", lambda: later)
    assert plane.verification_keys().keys() == {second.id}
    third = plane.rotate_signing_key("EdDSA")
    assert [key.id for key in plane.list_signing_keys()] == [second.id, third.id]
    with pytest.raises(RequestError, match="HS256"):
        plane.rotate_signing_key("HS256")


def test_no_secret_is_in_the_audit_log(plane: ControlPlane) -> None:
    tenant = plane.create_tenant("acme")
    person = member(plane, tenant.id, "ada@example.com")
    plane.begin_second_factor(person.id)
    made = plane.grant_to_operator("acme", "viewer", "test", "i")
    token = invite(plane, tenant.id)
    plane.add_issuer(tenant.id, "https://i.example", client_id="c", client_secret="their secret")
    with plane._reading() as session:
        written = json.dumps([[row.before, row.after] for row in session.query(AuditRow)])
        person_row = session.get_one(PersonRow, person.id)
        assert person_row.totp_secret is not None
        secrets = [PASSWORD, str(person_row.password_hash), person_row.totp_secret, "their secret", "PRIVATE KEY"]
        secrets += [token, str(made.refresh_token).split("~")[2]]
        secrets += [row.hash for row in session.query(TokenFamilyRow)]
    for secret in secrets:
        assert secret not in written


def test_a_family_ends_when_it_is_not_used_and_in_any_case_some_day(
    plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = plane.create_tenant("acme")
    begun = plane.begin_family(tenant.id, FamilyKind.OPERATOR, "test", role="viewer")
    started, token, n_refreshed = begun.family.created_at, begun.token, 0
    now = started
    monkeypatch.setattr(families, "now_ms", lambda: now)
    while now + families.UNUSED_MS["operator"] - 1 < started + families.LONGEST_MS["operator"]:
        now += families.UNUSED_MS["operator"] - 1
        token = plane.refresh_family(token).token
        n_refreshed += 1
    assert n_refreshed == 6
    now = started + families.LONGEST_MS["operator"]
    with pytest.raises(RequestError):
        plane.refresh_family(token)
    now = started
    unused = plane.begin_family(tenant.id, FamilyKind.OPERATOR, "test", role="viewer")
    now += families.UNUSED_MS["operator"]
    with pytest.raises(RequestError):
        plane.refresh_family(unused.token)


def test_a_person_has_a_bounded_number_of_sign_ins(plane: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "MAX_OF_PERSON", 3)
    monkeypatch.setattr(families, "MAX_OF_OPERATOR", 2)
    tenant = plane.create_tenant("acme")
    person = member(plane, tenant.id, "ada@example.com")
    for _ in range(5):
        plane.begin_family(tenant.id, FamilyKind.SESSION, "test", person_id=person.id)
    going = [one.revoked_for for one in plane.list_families(person_id=person.id)]
    assert sorted(map(str, going)) == ["None"] * 3 + ["crowded"] * 2
    for _ in range(2):
        plane.grant_to_operator("acme", "viewer", "test", "i")
    with pytest.raises(RequestError, match="2 tokens of operators"):
        plane.grant_to_operator("acme", "viewer", "test", "i")


def test_signing_in_makes_no_gateway_forget_anything(plane: ControlPlane) -> None:
    tenant = plane.create_tenant("acme")
    person = member(plane, tenant.id, "ada@example.com")
    version = plane.version()
    begun = plane.begin_family(tenant.id, FamilyKind.REFRESH, "test", person_id=person.id)
    plane.refresh_family(begun.token)
    plane.enter_sign_in(person.id, "sign_in_failed")
    assert plane.version() == version
    plane.revoke_family(begun.family.id)
    changes = plane.changes_since(version)
    assert (changes.everything, changes.tenants) == (False, {tenant.id})


def test_what_concerns_a_person_concerns_their_tenants_alone(plane: ControlPlane) -> None:
    acme, other = (plane.create_tenant(name) for name in ("acme", "other"))
    person = member(plane, acme.id, "ada@example.com")
    version = plane.version()
    plane.disable_person(person.id)
    changes = plane.changes_since(version)
    assert (changes.everything, changes.tenants) == (False, {acme.id})
    assert other.id not in changes.tenants


def test_an_invitation_is_good_once_for_its_address_and_for_a_time(plane: ControlPlane) -> None:
    acme, other = (plane.create_tenant(name) for name in ("acme", "other"))
    token = invite(plane, acme.id, "viewer", "ada@example.com")
    person, tenant = plane.accept_invitation(token, "mallory@example.com", "Ada", PASSWORD)
    assert (person.email, tenant) == ("ada@example.com", "acme")
    for bad in (token, "inv_made_up", "", invite(plane, acme.id, ends_in_ms=-1)):
        with pytest.raises(NotFoundError):
            plane.accept_invitation(bad, "eve@example.com", "Eve", PASSWORD)
    with pytest.raises(ConflictError, match="member of this tenant already"):
        plane.accept_invitation(invite(plane, acme.id, "owner", "ADA@example.com"), None, "", PASSWORD)
    another = invite(plane, other.id, "owner")
    with pytest.raises(RequestError, match="not its password"):
        plane.accept_invitation(another, "Ada@Example.com", "Ada", "some other password")
    same, _ = plane.accept_invitation(another, "Ada@Example.com", "Ada", PASSWORD)
    assert same.id == person.id
    assert [place.role for place in plane.places(person.id)] == ["viewer", "owner"]


@pytest.mark.parametrize(
    "email", ["", "ada", "a b@example.com", "ada@", "@example.com", "a@b@c", "x" * 65 + "@e.com", "iss_1:abc@e.com"]
)
def test_what_is_no_address_is_refused(plane: ControlPlane, email: str) -> None:
    token = invite(plane, plane.create_tenant("acme").id)
    with pytest.raises(RequestError):
        plane.accept_invitation(token, email, "Ada", PASSWORD)


def test_the_first_owner_is_invited_once_and_never_when_there_are_people(plane: ControlPlane) -> None:
    invited = plane.invite_first_owner()
    assert invited is not None
    token, tenant = invited
    assert tenant == "main"
    assert plane.invite_first_owner() is None
    person, _ = plane.accept_invitation(token, "ada@example.com", "Ada", PASSWORD)
    assert [(place.name, place.role) for place in plane.places(person.id)] == [("main", "owner")]
    assert plane.invite_first_owner() is None


def test_the_first_owner_is_of_the_oldest_tenant_if_there_is_one(plane: ControlPlane) -> None:
    plane.create_tenant("acme")
    plane.create_tenant("later")
    invited = plane.invite_first_owner()
    assert invited is not None
    assert invited[1] == "acme"
