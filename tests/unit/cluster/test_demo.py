"""What the demo's tenant is given, in a real control plane."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from cluster.control_plane import ControlPlane
from cluster.demo import campaign as demo_campaign
from cluster.demo import setup
from cluster.demo.templates import demo_templates
from tests.support.keyring import KEYRING
from whisperer.journeys.campaign import CampaignStatus


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[ControlPlane]:
    with ControlPlane(f"sqlite:///{tmp_path / 'control.db'}", keyring=KEYRING) as plane:
        yield plane


def test_the_demo_has_two_keys_templates_and_a_live_campaign(plane: ControlPlane) -> None:
    access = setup.access(plane, "demo", None)
    kinds = {key.kind: key.tenant_id for key in plane.list_keys("demo")}
    assert kinds == {"write": access.tenant_id, "secret": access.tenant_id}
    assert access.write_key.startswith("wk_")
    assert access.secret_key.startswith("sk_")
    assert {template.name for template in plane.list_templates("demo")} == set(demo_templates())
    campaign = plane.get_campaign("demo", demo_campaign.NAME)
    assert campaign.status == CampaignStatus.LIVE
    assert all(arm.template_version == 1 for arm in campaign.campaign.arms)
    assert plane.experiment("demo").holdout == demo_campaign.HOLDOUT


def test_a_second_start_changes_nothing(plane: ControlPlane) -> None:
    first = setup.access(plane, "demo", None)
    version = plane.version()
    assert setup.access(plane, "demo", first) == first
    assert plane.version() == version


def test_a_revoked_or_missing_key_is_replaced_and_the_other_one_kept(plane: ControlPlane) -> None:
    first = setup.access(plane, "demo", None)
    plane.revoke_key(first.secret_key)
    second = setup.access(plane, "demo", first)
    assert second.write_key == first.write_key
    assert second.secret_key not in ("", first.secret_key)
    older = replace(second, secret_key="")
    third = setup.access(plane, "demo", older)
    assert third.write_key == first.write_key
    assert third.secret_key.startswith("sk_")


def test_keys_of_another_tenant_are_not_taken_over(plane: ControlPlane) -> None:
    first = setup.access(plane, "demo", None)
    other = setup.access(plane, "other", first)
    assert {other.write_key, other.secret_key}.isdisjoint({first.write_key, first.secret_key})


def test_what_the_owner_changed_stays(plane: ControlPlane) -> None:
    first = setup.access(plane, "demo", None)
    plane.end_campaign("demo", demo_campaign.NAME)
    plane.set_experiment("demo", holdout=0.3)
    setup.access(plane, "demo", first)
    assert plane.get_campaign("demo", demo_campaign.NAME).status == CampaignStatus.ENDED
    assert plane.experiment("demo").holdout == 0.3


def test_a_start_that_was_broken_off_is_completed(plane: ControlPlane) -> None:
    tenant = plane.create_tenant("demo")
    plane.put_template(tenant.id, "tips-email", demo_templates()["tips-email"])
    plane.put_campaign(tenant.id, demo_campaign.NAME, demo_campaign.CAMPAIGN)
    setup.ensure(plane, tenant.id)
    assert plane.get_campaign("demo", demo_campaign.NAME).status == CampaignStatus.LIVE
    assert plane.get_template("demo", "tips-email").version == 1
