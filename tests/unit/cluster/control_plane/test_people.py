"""Members, roles and invitations: who may give what to whom, and what is never left without an owner."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from cluster.control_plane import ControlPlane
from cluster.control_plane.granting import Giver
from cluster.control_plane.listing import After, Place
from cluster.control_plane.models import AuditRow, InvitationRow, IssuerRow, TokenFamilyRow
from cluster.control_plane.people import invitations, members, roles
from cluster.control_plane.people.roles import OF_OWN_ROLES
from cluster.control_plane.tenants import Tenant
from tests.support.keyring import KEYRING
from tests.support.people import joined
from whisperer.access.permissions import Permission, PermissionsError
from whisperer.access.roles import BUILT_IN, Role
from whisperer.errors import ConflictError, ForbiddenError, NotFoundError, RequestError

NAMES = sorted(Role)


@pytest.fixture
def plane(plane_url: str) -> Iterator[ControlPlane]:
    with ControlPlane(plane_url, keyring=KEYRING) as plane:
        yield plane


@pytest.fixture
def acme(plane: ControlPlane) -> Tenant:
    return plane.create_tenant("acme")


def refused(code: str, call: Callable[[], object]) -> None:
    with pytest.raises(RequestError) as caught:
        call()
    assert caught.value.code == code


@pytest.mark.parametrize("mine", NAMES)
@pytest.mark.parametrize("theirs", NAMES)
def test_a_role_gives_invites_to_and_takes_only_roles_within_its_own(
    plane: ControlPlane, acme: Tenant, mine: Role, theirs: Role
) -> None:
    giver = Giver(BUILT_IN[mine])
    joined(plane, acme.id, "first@example.com", "owner")
    of_their_role = joined(plane, acme.id, "bob@example.com", theirs)
    harmless = joined(plane, acme.id, "eve@example.com", "ingest" if mine == "ingest" else "viewer")
    calls: list[Callable[[], object]] = [
        lambda: plane.invite("acme", "new@example.com", theirs, by="me", giver=giver),
        lambda: plane.change_member("acme", harmless.id, theirs, giver),
        lambda: plane.change_member("acme", of_their_role.id, harmless.role, giver),
        lambda: plane.remove_member("acme", of_their_role.id, giver),
    ]
    if BUILT_IN[theirs] <= BUILT_IN[mine] and BUILT_IN[Role(harmless.role)] <= BUILT_IN[mine]:
        for call in calls:
            call()
        return
    if not BUILT_IN[theirs] <= BUILT_IN[mine]:
        for call in calls:
            refused("escalation", call)
        assert plane.get_member("acme", harmless.id).role == harmless.role
        assert plane.get_member("acme", of_their_role.id).role == theirs
        assert plane.page_of_invitations("acme", Place()).items == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mine=st.frozensets(st.sampled_from(sorted(Permission))),
    asked=st.frozensets(st.sampled_from(sorted(OF_OWN_ROLES))),
    number=st.integers(),
)
def test_nobody_defines_changes_or_deletes_a_role_beyond_their_own(
    plane: ControlPlane, acme: Tenant, mine: frozenset[Permission], asked: frozenset[Permission], number: int
) -> None:
    name, giver, listed = f"r{abs(hash((mine, asked, number)))}"[:60], Giver(mine), sorted(map(str, asked))
    if asked <= mine:
        assert plane.create_role("acme", name, listed, giver).permissions == listed
        plane.delete_role("acme", name, giver)
        return
    refused("escalation", lambda: plane.create_role("acme", name, listed, giver))
    plane.create_role("acme", name, listed)
    refused("escalation", lambda: plane.change_role("acme", name, [], giver))
    refused("escalation", lambda: plane.delete_role("acme", name, giver))
    plane.change_role("acme", name, [])
    refused("escalation", lambda: plane.change_role("acme", name, listed, giver))
    plane.delete_role("acme", name)


def test_built_in_roles_are_listed_and_never_change(plane: ControlPlane, acme: Tenant) -> None:
    found = {role.name: role for role in plane.list_roles("acme")}
    assert {name: set(role.permissions) for name, role in found.items()} == {r.value: set(BUILT_IN[r]) for r in Role}
    for name in found:
        refused("built_in_role", lambda name=name: plane.change_role("acme", name, []))  # type: ignore[misc]
        refused("built_in_role", lambda name=name: plane.delete_role("acme", name))  # type: ignore[misc]
        refused("role_exists", lambda name=name: plane.create_role("acme", name, []))  # type: ignore[misc]


def test_a_tenants_own_role_never_makes_owners(plane: ControlPlane, acme: Tenant) -> None:
    with pytest.raises(PermissionsError):
        plane.create_role("acme", "king", ["owners:write"])
    made = plane.create_role("acme", "king", ["members:*", "keys:read"])
    assert made.permissions == ["keys:read", "members:read", "members:write"]
    assert plane.role_permissions("acme", "king") == set(made.permissions)
    assert plane.role_permissions("acme", "nobody") == frozenset()


@pytest.mark.parametrize("name", ["", "A", "1a", "a b", "a/b", "x" * 64, "é", "a\n"])
def test_a_role_needs_a_usable_name(plane: ControlPlane, acme: Tenant, name: str) -> None:
    refused("invalid_name", lambda: plane.create_role("acme", name, []))


def in_use_by_a_member(plane: ControlPlane, acme: Tenant) -> None:
    joined(plane, acme.id, "ada@example.com", "writer")


def in_use_by_an_invitation(plane: ControlPlane, acme: Tenant) -> None:
    plane.invite("acme", "ada@example.com", "writer", by="me")


def in_use_by_a_token(plane: ControlPlane, acme: Tenant) -> None:
    row = TokenFamilyRow(
        id="fam_1", tenant_id=acme.id, role="writer", kind="token", client="", hash="h", number=0,
        created_at=1, used_at=1, expires_at=2**50,
    )  # fmt: skip
    if hasattr(row, "root_hash"):
        row.root_hash = "r"
    with Session(plane._engine) as session, session.begin():
        session.add(row)


def in_use_by_an_issuer(plane: ControlPlane, acme: Tenant) -> None:
    with Session(plane._engine) as session, session.begin():
        session.add(
            IssuerRow(
                id="iss_1", tenant_id=acme.id, issuer="https://id.example.com", audience="a", client_id="c",
                role_claim="role", roles={"*": "writer"}, created_at=1, changed_at=1,
            )
        )  # fmt: skip


@pytest.mark.parametrize("use", [in_use_by_a_member, in_use_by_an_invitation, in_use_by_a_token, in_use_by_an_issuer])
def test_a_role_that_is_in_use_stays(
    plane: ControlPlane, acme: Tenant, use: Callable[[ControlPlane, Tenant], None]
) -> None:
    other = plane.create_tenant("globex")
    for tenant in ("acme", other.name):
        plane.create_role(tenant, "writer", ["templates:write"])
    use(plane, acme)
    refused("role_in_use", lambda: plane.delete_role("acme", "writer"))
    plane.delete_role("globex", "writer")
    assert plane.get_role("acme", "writer").permissions == ["templates:write"]


def test_roles_are_bounded(plane: ControlPlane, acme: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "MAX_ROLES", 2)
    for name in ("a", "b"):
        plane.create_role("acme", name, [])
    refused("too_many_roles", lambda: plane.create_role("acme", "c", []))


def test_the_last_owner_who_can_sign_in_neither_leaves_nor_changes(plane: ControlPlane, acme: Tenant) -> None:
    ada = joined(plane, acme.id, "ada@example.com", "owner")
    joined(plane, acme.id, "gone@example.com", "owner", disabled=True)
    joined(plane, acme.id, "bob@example.com", "admin")
    refused("last_owner", lambda: plane.remove_member("acme", ada.id))
    refused("last_owner", lambda: plane.change_member("acme", "ADA@example.com", "admin"))
    assert plane.change_member("acme", ada.id, "owner") == ada
    plane.change_member("acme", "bob@example.com", "owner")
    assert plane.change_member("acme", ada.id, "viewer").role == "viewer"
    refused("last_owner", lambda: plane.remove_member("acme", "bob@example.com"))


def test_of_two_owners_who_leave_at_once_one_stays(plane: ControlPlane, acme: Tenant) -> None:
    owners = [joined(plane, acme.id, f"{name}@example.com", "owner") for name in ("ada", "bob")]

    def leave(member_id: str) -> str:
        try:
            plane.remove_member("acme", member_id)
        except ConflictError as error:
            return error.code
        return "left"

    with ThreadPoolExecutor(2) as pool:
        found = sorted(pool.map(leave, [owner.id for owner in owners]))
    assert found == ["last_owner", "left"]


def test_owners_of_one_tenant_do_not_keep_another(plane: ControlPlane, acme: Tenant) -> None:
    globex = plane.create_tenant("globex")
    for tenant in (acme, globex):
        joined(plane, tenant.id, "ada@example.com", "owner")
    joined(plane, globex.id, "bob@example.com", "owner")
    refused("last_owner", lambda: plane.remove_member("acme", "ada@example.com"))
    plane.remove_member("globex", "ada@example.com")
    refused("member_not_found", lambda: plane.get_member("acme", "bob@example.com"))


def test_an_invitation_is_stored_by_its_hash_and_shown_once(plane: ControlPlane, acme: Tenant) -> None:
    made = plane.invite("acme", " Ada@Example.com ", "marketer", by="grace@example.com")
    assert made.token is not None
    assert re.fullmatch(r"inv_[\w-]{43}", made.token)
    assert (made.email, made.role, made.expires_at - made.created_at) == ("Ada@example.com", "marketer", 7 * 86_400_000)
    assert made.token not in repr(made)
    with Session(plane._engine) as session:
        row = session.get_one(InvitationRow, made.id)
        assert row.hash == hashlib.sha256(made.token.encode()).hexdigest()
        written = [str(entry.after) for entry in session.query(AuditRow).filter_by(resource="invitations")]
    assert written
    assert all(row.hash not in text for text in written)
    assert plane.get_invitation("acme", made.id).token is None
    assert [one.token for one in plane.page_of_invitations("acme", Place()).items] == [None]


@pytest.mark.parametrize("email", ["", "ada", "a b@example.com", "ada@example.com\n", "a@b@c", "ada@example"])
def test_an_address_that_is_none_is_not_invited(plane: ControlPlane, acme: Tenant, email: str) -> None:
    refused("invalid_invitation", lambda: plane.invite("acme", email, "viewer", by="me"))


@pytest.mark.parametrize("good_for_ms", [0, -1, 31 * 86_400_000])
def test_an_invitation_is_good_for_a_bounded_time(plane: ControlPlane, acme: Tenant, good_for_ms: int) -> None:
    refused(
        "invalid_invitation",
        lambda: plane.invite("acme", "a@example.com", "viewer", by="me", good_for_ms=good_for_ms),
    )


def test_members_and_the_invited_are_not_invited_again(plane: ControlPlane, acme: Tenant) -> None:
    joined(plane, acme.id, "ada@example.com", "viewer")
    refused("already_member", lambda: plane.invite("acme", "ADA@example.com", "viewer", by="me"))
    bob = plane.invite("acme", "bob@example.com", "viewer", by="me")
    refused("already_invited", lambda: plane.invite("acme", "Bob@Example.com", "admin", by="me"))
    assert str(plane.revoke_invitation("acme", bob.id).state(2**50)) == "revoked"
    plane.invite("acme", "Bob@Example.com", "admin", by="me")
    refused("role_not_found", lambda: plane.invite("acme", "eve@example.com", "nothing", by="me"))


def test_members_and_open_invitations_are_bounded_together(
    plane: ControlPlane, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitations, "MAX_MEMBERS", 2)
    joined(plane, acme.id, "ada@example.com", "owner")
    bob = plane.invite("acme", "bob@example.com", "viewer", by="me")
    refused("too_many_members", lambda: plane.invite("acme", "eve@example.com", "viewer", by="me"))
    plane.revoke_invitation("acme", bob.id)
    plane.invite("acme", "eve@example.com", "viewer", by="me")


def test_of_ended_invitations_the_newest_are_kept(
    plane: ControlPlane, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(invitations, "MAX_KEPT", 2)
    made = [plane.invite("acme", f"p{n}@example.com", "viewer", by="me") for n in range(2)]
    plane.revoke_invitation("acme", made[0].id)
    third = plane.invite("acme", "p3@example.com", "viewer", by="me")
    assert [one.id for one in plane.page_of_invitations("acme", Place()).items] == [made[1].id, third.id]


def test_what_was_accepted_is_not_revoked(plane: ControlPlane, acme: Tenant) -> None:
    made = plane.invite("acme", "ada@example.com", "viewer", by="me")
    with Session(plane._engine) as session, session.begin():
        session.get_one(InvitationRow, made.id).accepted_at = 5
    refused("invitation_accepted", lambda: plane.revoke_invitation("acme", made.id))
    plane.create_tenant("globex")
    refused("invitation_not_found", lambda: plane.revoke_invitation("globex", made.id))


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_pages_of_members_hold_each_once(plane: ControlPlane, acme: Tenant, limit: int) -> None:
    mine = [joined(plane, acme.id, f"p{n}@example.com", "viewer" if n % 2 else "analyst").id for n in range(4)]
    joined(plane, plane.create_tenant("globex").id, "other@example.com", "viewer")
    found: list[str] = []
    after: After | None = None
    while after is not None or not found:
        part = plane.page_of_members("acme", Place(limit, after))
        found += [member.id for member in part.items]
        after = part.last
    assert found == sorted(mine)
    assert len(plane.page_of_members("acme", Place(), role="viewer").items) == 2


def test_an_environment_has_its_tenants_people_and_changes_none(plane: ControlPlane, acme: Tenant) -> None:
    joined(plane, acme.id, "ada@example.com", "owner")
    plane.create_role("acme", "writer", ["templates:write"])
    test = plane.create_environment("acme", "test").name
    assert plane.get_member(test, "ada@example.com").role == "owner"
    assert plane.get_role(test, "writer").permissions == ["templates:write"]
    for call in (
        lambda: plane.change_member(test, "ada@example.com", "admin"),
        lambda: plane.remove_member(test, "ada@example.com"),
        lambda: plane.invite(test, "bob@example.com", "viewer", by="me"),
        lambda: plane.create_role(test, "other", []),
        lambda: plane.change_role(test, "writer", []),
        lambda: plane.delete_role(test, "writer"),
    ):
        refused("belongs_to_tenant", call)


def test_errors_are_of_the_kind_that_callers_expect(plane: ControlPlane, acme: Tenant) -> None:
    with pytest.raises(ForbiddenError):
        plane.invite("acme", "a@example.com", "owner", by="me", giver=Giver(frozenset()))
    with pytest.raises(NotFoundError):
        plane.get_member("acme", "nobody\x00@example.com")
    with pytest.raises(ConflictError):
        plane.delete_role("acme", "owner")
    assert members.MAX_MEMBERS == 1_000
