"""Environments, settings, users' secrets and saved reports of a tenant."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cluster.control_plane import ControlPlane
from cluster.control_plane.listing import After, Place
from cluster.control_plane.tenancy import environments, saved_reports
from cluster.control_plane.tenancy.tenant_settings import TenantSettings, checked_origins
from tests.unit.cluster.control_plane.test_people import acme, plane, refused
from whisperer.errors import ProblemsError

__all__ = ["acme", "plane"]

DAY_MS = 86_400_000


def test_an_environment_is_a_tenant_of_its_own_for_everything_that_holds_data(
    plane: ControlPlane, acme: object
) -> None:
    test = plane.create_environment("acme", "test")
    assert (test.name, test.environment, test.environment_of) == ("acme.test", "test", plane.get_tenant("acme").id)
    assert plane.get_tenant("acme.TEST") == test
    key = plane.find_key(plane.create_key("acme.test", "write").key)
    assert key is not None
    assert (key.tenant_id, key.tenant_name) == (test.id, "acme.test")
    plane.publish_segment("acme.test", "s", {"event": "Paid", "op": "gte", "count": 1, "days": 7})
    assert plane.list_segments("acme") == []
    assert plane.experiment("acme").salt != plane.experiment("acme.test").salt
    assert [one.environment for one in plane.list_environments(test.id)] == ["live", "test"]


@pytest.mark.parametrize("name", ["", "Test", "1", "a.b", "a b", "x" * 17, "a\n", "é"])
def test_an_environment_needs_a_usable_name(plane: ControlPlane, acme: object, name: str) -> None:
    refused("invalid_name", lambda: plane.create_environment("acme", name))


def test_an_environment_is_there_once_and_has_none_itself(plane: ControlPlane, acme: object) -> None:
    plane.create_environment("acme", "test")
    plane.create_tenant("acme.stage")
    for name in ("test", "live", "stage"):
        refused("environment_exists", lambda name=name: plane.create_environment("acme", name))  # type: ignore[misc]
    refused("belongs_to_tenant", lambda: plane.create_environment("acme.test", "more"))
    plane.create_tenant("globex")
    plane.create_environment("globex", "test")
    refused("environment_not_found", lambda: plane.get_environment("globex", "stage"))


def test_environments_are_bounded(plane: ControlPlane, acme: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "MAX_ENVIRONMENTS", 1)
    plane.create_environment("acme", "test")
    refused("too_many_environments", lambda: plane.create_environment("acme", "stage"))


def test_settings_change_by_name_and_count_in_every_environment(plane: ControlPlane, acme: object) -> None:
    assert plane.tenant_settings("acme") == TenantSettings()
    before = plane.version()
    plane.set_tenant_settings("acme", tier="pro", origins=["https://App.Example.com:443/", "http://localhost:3000"])
    assert plane.version() == before + 1
    changed = plane.set_tenant_settings("acme", approval=True)
    assert (changed.tier, changed.approval, changed.second_factor) == ("pro", True, False)
    assert changed.origins == ["https://app.example.com", "http://localhost:3000"]
    test = plane.create_environment("acme", "test").name
    assert plane.tenant_settings(test) == changed
    refused("belongs_to_tenant", lambda: plane.set_tenant_settings(test, approval=False))
    version = plane.version()
    assert plane.set_tenant_settings("acme", approval=True) == changed
    assert plane.version() == version
    assert plane.set_tenant_settings("acme", tier="").tier is None
    refused("invalid_settings", lambda: plane.set_tenant_settings("acme", tier="gold"))


def test_a_brand_changes_value_by_value(plane: ControlPlane, acme: object) -> None:
    plane.set_tenant_settings("acme", brand={"name": "Acme", "primary": "#0b6e5f", "logo": "https://a.example/l.png"})
    changed = plane.set_tenant_settings("acme", brand={"primary": "teal", "logo": ""})
    assert changed.brand == {"name": "Acme", "primary": "teal"}
    assert plane.tenant_settings(plane.create_environment("acme", "test").name).brand == changed.brand
    version = plane.version()
    assert plane.set_tenant_settings("acme", brand={"name": "Acme"}) == changed
    assert plane.version() == version


def test_every_value_that_a_brand_cannot_have_is_reported(plane: ControlPlane, acme: object) -> None:
    wrong = {
        "colour": "red",
        "primary": "reddish",
        "logo": "http://a.example/logo.png",
        "website": "https://u:p@a.example",
        "font": "Arial; background: url(x)",
        "name": "a\nb",
        "address": "x" * 301,
    }
    with pytest.raises(ProblemsError) as caught:
        plane.set_tenant_settings("acme", brand=wrong)
    assert [problem["pointer"] for problem in caught.value.errors] == [f"/brand/{name}" for name in wrong]
    assert plane.tenant_settings("acme").brand == {}


def test_of_two_who_read_the_same_settings_the_second_is_told(plane: ControlPlane, acme: object) -> None:
    tag = plane.tenant_settings("acme").etag
    plane.set_tenant_settings("acme", approval=True, if_match=tag)
    refused("precondition_failed", lambda: plane.set_tenant_settings("acme", approval=False, if_match=tag))
    assert plane.tenant_settings("acme").approval


@pytest.mark.parametrize(
    "origin",
    [
        *("", "app.example.com", "ftp://app.example.com", "https://", "https://a.example/path", "https://a.example?x"),
        *("https://u@a.example", "https://a.example:99999", "https://a.example#x", "null", "*", "https://*.example"),
        *("https://a b.example", "https://a.example\n", "https://é.example", "https://[::1", "javascript:alert(1)"),
    ],
)
def test_what_is_no_origin_is_refused_with_its_place(origin: str) -> None:
    with pytest.raises(ProblemsError) as caught:
        checked_origins(["https://good.example", origin])
    assert caught.value.errors[0]["pointer"] == "/origins/1"


def test_a_users_secret_is_made_once_and_rotated_with_an_overlap(plane: ControlPlane, acme: object) -> None:
    assert plane.user_secrets("acme").verifying(0) == []
    first = plane.signing_user_secret("acme")
    assert plane.signing_user_secret("acme") == first
    test = plane.create_environment("acme", "test").name
    assert plane.signing_user_secret(test) != first
    rotated = plane.rotate_user_secret("acme", DAY_MS)
    assert rotated.previous_until is not None
    second = plane.signing_user_secret("acme")
    assert rotated.verifying(rotated.previous_until - 1) == [second, first]
    assert rotated.verifying(rotated.previous_until) == [second]
    assert first not in plane.rotate_user_secret("acme", DAY_MS).verifying(0)
    assert len(plane.rotate_user_secret("acme", 0).verifying(0)) == 1
    refused("invalid_overlap", lambda: plane.rotate_user_secret("acme", 31 * DAY_MS))
    assert first.hex() not in repr(rotated)


def test_no_secret_of_users_is_in_the_audit_log(plane: ControlPlane, acme: object) -> None:
    secret = plane.signing_user_secret("acme").hex()
    plane.rotate_user_secret("acme", DAY_MS)
    with plane._engine.connect() as connection:
        log = str(connection.exec_driver_sql("SELECT * FROM audit").all())
    assert "tenant_settings" in log
    assert secret not in log


def test_reports_are_saved_replaced_listed_and_deleted(
    plane: ControlPlane, acme: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plane.create_report("acme", "b", {"x": 1})
    refused("report_exists", lambda: plane.create_report("acme", "b", {"x": 2}))
    assert plane.put_report("acme", "b", {"x": 1}) == first
    changed = plane.put_report("acme", "b", {"x": 2}, first.etag)
    refused("precondition_failed", lambda: plane.put_report("acme", "b", {"x": 3}, first.etag))
    plane.put_report("acme", "a", {})
    part = plane.page_of_reports("acme", Place(1))
    assert ([one.name for one in part.items], part.last) == (["a"], After("a", "a"))
    assert plane.page_of_reports("acme", Place(1, After("a"))).items == [changed]
    monkeypatch.setattr(saved_reports, "MAX_REPORTS", 2)
    refused("too_many_reports", lambda: plane.put_report("acme", "c", {}))
    plane.delete_report("acme", "a")
    refused("report_not_found", lambda: plane.delete_report("acme", "a"))
    plane.create_tenant("globex")
    calls: list[Callable[[], object]] = [
        lambda: plane.get_report("globex", "b"),
        lambda: plane.delete_report("globex", "b"),
    ]
    for call in calls:
        refused("report_not_found", call)
