"""Permissions, the lists that name them, and the roles that bundle them."""

from __future__ import annotations

import pytest

from whisperer.access.permissions import (
    EVERYTHING,
    OF_SECRET_KEYS,
    PEOPLES,
    PERSONAL,
    SCOPES,
    Permission,
    PermissionsError,
    parsed,
)
from whisperer.access.roles import BUILT_IN, Role


def test_a_list_names_permissions_or_all_of_a_resource() -> None:
    assert parsed(["users:read", "campaigns:*"]) == {
        Permission.USERS_READ,
        Permission.CAMPAIGNS_READ,
        Permission.CAMPAIGNS_WRITE,
        Permission.CAMPAIGNS_PUBLISH,
    }


@pytest.mark.parametrize(
    "named", ["", "users", "users:", "*", "*:*", ":read", "Users:read", "users:fly", 7, None, ["users:read"]]
)
def test_what_is_no_permission_is_refused_with_its_place(named: object) -> None:
    with pytest.raises(PermissionsError) as error:
        parsed(["users:read", named], at="/scopes")
    assert error.value.errors[0]["pointer"] == "/scopes/1"


def test_what_may_not_be_given_here_is_refused_like_what_does_not_exist() -> None:
    with pytest.raises(PermissionsError):
        parsed(["events:write"], SCOPES)
    with pytest.raises(PermissionsError):
        parsed(["owners:*"], SCOPES)


def test_every_role_is_defined_and_each_has_what_the_one_below_it_has() -> None:
    assert set(BUILT_IN) == set(Role)
    assert BUILT_IN[Role.VIEWER] < BUILT_IN[Role.ANALYST] < BUILT_IN[Role.ADMIN] < BUILT_IN[Role.OWNER] == EVERYTHING
    assert BUILT_IN[Role.VIEWER] < BUILT_IN[Role.MARKETER] < BUILT_IN[Role.ADMIN]


def test_a_viewer_sees_no_people_and_changes_nothing() -> None:
    assert not BUILT_IN[Role.VIEWER] & PERSONAL
    assert all(permission.endswith(":read") for permission in BUILT_IN[Role.VIEWER])


def test_a_key_without_scopes_decides_nothing_about_who_may_do_what() -> None:
    assert not OF_SECRET_KEYS & PEOPLES
    assert OF_SECRET_KEYS < SCOPES
