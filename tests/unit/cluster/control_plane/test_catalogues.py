"""Catalogues in both databases: items are written one by one or as a whole, within limits, and nothing is half done."""

from __future__ import annotations

from typing import Any

import pytest

from cluster.control_plane import ControlPlane, catalogues
from cluster.control_plane.etags import StaleError
from cluster.control_plane.listing import Place
from tests.support.keyring import KEYRING
from tests.unit.cluster.control_plane.test_published_configuration import CAMPAIGN
from whisperer.content.catalogue.fields import CatalogueError
from whisperer.content.errors import TemplateError
from whisperer.errors import ConflictError, NotFoundError, RequestError
from whisperer.ids import TenantId
from whisperer.journeys.errors import CampaignError

FIELDS = {"name": "string", "price": "number"}


@pytest.fixture
def plane(plane_url: str):
    with ControlPlane(plane_url, keyring=KEYRING) as made:
        yield made


@pytest.fixture
def tenant(plane: ControlPlane) -> TenantId:
    id = plane.create_tenant("acme").id
    plane.put_catalogue(id, "products", FIELDS)
    return id


def items(plane: ControlPlane, tenant: TenantId) -> dict[str, Any]:
    return {one.id: one.values for one in plane.page_of_items(tenant, "products", Place()).items}


def upload(plane: ControlPlane, tenant: TenantId, *ids: str, replace: bool = False, name: str = "x") -> Any:
    held = {id: f'{{"id": "{id}", "name": "{name}"}}'.encode() for id in ids}
    done = plane.upload_items(tenant, "products", FIELDS, held, replace=replace)
    return done.n_added, done.n_changed, done.n_removed, done.n_items


def test_items_are_written_changed_and_deleted_by_who_read_them(plane: ControlPlane, tenant: TenantId) -> None:
    first = plane.put_item(tenant, "products", "a/é"[:1], {"name": "Boots", "price": 80})
    changed = plane.put_item(tenant, "products", "a", {"name": "Boots"}, first.etag)
    with pytest.raises(StaleError):
        plane.put_item(tenant, "products", "a", {}, first.etag)
    with pytest.raises(StaleError):
        plane.delete_item(tenant, "products", "a", first.etag)
    assert items(plane, tenant) == {"a": {"name": "Boots"}}
    catalogue = plane.get_catalogue(tenant, "products")
    assert (catalogue.n_items, catalogue.n_bytes) == (1, len('{"id":"a","name":"Boots"}'))
    plane.delete_item(tenant, "products", "a", changed.etag)
    catalogue = plane.get_catalogue(tenant, "products")
    assert (catalogue.n_items, catalogue.n_bytes) == (0, 0)
    with pytest.raises(NotFoundError):
        plane.get_item(tenant, "products", "a")


@pytest.mark.parametrize(
    ("id", "values"),
    [("a", {"price": "x"}), ("a", {"colour": "red"}), ("", {}), ("a/b", {}), ("a", {"name": "x" * 2_001})],
)
def test_an_item_that_does_not_fit_is_refused(plane: ControlPlane, tenant: TenantId, id: str, values: Any) -> None:
    with pytest.raises(CatalogueError):
        plane.put_item(tenant, "products", id, values)


def test_an_upload_says_what_it_did_and_one_that_changes_nothing_is_no_change(
    plane: ControlPlane, tenant: TenantId
) -> None:
    assert upload(plane, tenant, "a", "b") == (2, 0, 0, 2)
    version, revision = plane.version(), plane.catalogue_revision(tenant, "products")
    assert upload(plane, tenant, "a", "b") == (0, 0, 0, 2)
    assert (plane.version(), plane.catalogue_revision(tenant, "products")) == (version, revision)
    assert upload(plane, tenant, "b", "c", name="y") == (1, 1, 0, 3)
    assert upload(plane, tenant, "c", name="y", replace=True) == (0, 0, 2, 1)
    assert items(plane, tenant) == {"c": {"name": "y"}}
    assert plane.get_catalogue(tenant, "products").n_bytes == len('{"id": "c", "name": "y"}')
    loaded = plane.load_catalogue(tenant, "products")
    assert loaded is not None
    assert loaded.items == [("c", b'{"id": "c", "name": "y"}')]
    assert plane.load_catalogue(tenant, "nothing") is plane.catalogue_revision(tenant, "nothing") is None


def test_limits_are_kept_and_a_refused_upload_leaves_nothing(
    plane: ControlPlane, tenant: TenantId, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogues, "MAX_ITEMS", 3)
    monkeypatch.setattr(catalogues, "MAX_CATALOGUES", 2)
    upload(plane, tenant, "a", "b")
    with pytest.raises(ConflictError) as full:
        upload(plane, tenant, "c", "d", "a", name="y")
    assert full.value.code == "catalogue_full"
    assert items(plane, tenant) == {"a": {"name": "x"}, "b": {"name": "x"}}
    plane.put_item(tenant, "products", "c", {})
    with pytest.raises(ConflictError):
        plane.put_item(tenant, "products", "d", {})
    plane.put_catalogue(tenant, "shops", FIELDS)
    with pytest.raises(ConflictError):
        plane.put_catalogue(tenant, "offers", FIELDS)
    monkeypatch.setattr(catalogues, "MAX_TENANT_BYTES", 80)
    with pytest.raises(ConflictError):
        plane.put_item(tenant, "shops", "a", {"name": "x" * 60})


def test_fields_are_added_and_keep_their_kind_while_there_are_items(plane: ControlPlane, tenant: TenantId) -> None:
    before = plane.put_catalogue(tenant, "products", {"name": "list"})
    assert plane.put_catalogue(tenant, "products", FIELDS, before.etag).fields == FIELDS
    upload(plane, tenant, "a")
    with pytest.raises(ConflictError) as used:
        plane.put_catalogue(tenant, "products", {"name": "string"})
    assert used.value.code == "field_in_use"
    assert plane.put_catalogue(tenant, "products", FIELDS | {"new": "boolean"}).fields["new"] == "boolean"
    with pytest.raises(StaleError):
        plane.delete_catalogue(tenant, "products", before.etag)
    with pytest.raises(ConflictError):
        plane.upload_items(tenant, "products", {"name": "number"}, {}, replace=True)
    with pytest.raises(RequestError):
        plane.put_catalogue(tenant, "a b", FIELDS)


def test_a_catalogue_made_anew_is_another_one(plane: ControlPlane, tenant: TenantId) -> None:
    upload(plane, tenant, "a")
    revision = plane.catalogue_revision(tenant, "products") or 0
    plane.delete_catalogue(tenant, "products")
    with pytest.raises(NotFoundError):
        plane.page_of_items(tenant, "products", Place())
    plane.put_catalogue(tenant, "products", FIELDS)
    assert items(plane, tenant) == {}
    assert (plane.catalogue_revision(tenant, "products") or 0) > revision


def test_another_tenants_catalogue_is_not_there(plane: ControlPlane, tenant: TenantId) -> None:
    other = plane.create_tenant("globex").id
    for call in (
        lambda: plane.get_catalogue(other, "products"),
        lambda: plane.put_item(other, "products", "a", {}),
        lambda: plane.upload_items(other, "products", FIELDS, {}, replace=True),
        lambda: plane.delete_catalogue(other, "products"),
    ):
        with pytest.raises(NotFoundError):
            call()
    assert plane.load_catalogue(other, "products") is None


def test_the_audit_log_has_an_item_with_its_values_and_an_upload_with_its_counts(
    plane: ControlPlane, tenant: TenantId
) -> None:
    plane.put_item(tenant, "products", "a", {"name": "Boots"})
    upload(plane, tenant, "b", "c")
    log = [(one.verb, one.resource, one.resource_id, one.after) for one in plane.audit_page(tenant)]
    of_item = next(one for one in log if one[1] == "catalogue_items")
    assert of_item[0] == "created"
    assert of_item[2] == "products/a"
    assert (of_item[3] or {})["body"] == '{"id":"a","name":"Boots"}'
    counts = [(one[3] or {}).get("n_items") for one in log if one[1] == "catalogues"]
    assert sorted(counts) == [0, 1, 3]
    assert len(log) < 8, "an upload is one entry"


def test_a_template_names_only_what_there_is_when_it_goes_live(plane: ControlPlane, tenant: TenantId) -> None:
    text = '{% catalogue p from "products" where price < 50 %}{{ p.size }} {% coupon "spring" %}'
    body = {"channel": "sms", "locales": {"en": {"text": text}}}
    with pytest.raises(TemplateError) as unknown:
        plane.put_template(tenant, "hello", body)
    assert [one["code"] for one in unknown.value.errors] == ["unknown_coupon_pool"]
    plane.put_pool(tenant, "spring")
    plane.put_template(tenant, "hello", body)
    plane.delete_catalogue(tenant, "products")
    with pytest.raises(CampaignError) as gone:
        plane.create_campaign(tenant, "welcome", CAMPAIGN, publish=True)
    assert "unknown_catalogue" in [one["code"] for one in gone.value.errors]
