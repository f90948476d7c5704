"""Campaigns, templates, channels and the experiment in the control plane."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace
from sqlalchemy import update
from sqlalchemy.orm import Session

from cluster.control_plane import ChannelConfig, ControlPlane
from cluster.control_plane.models import CampaignRow, ExperimentRow, TemplateRow
from tests.support.keyring import KEYRING
from whisperer.content.errors import TemplateError
from whisperer.delivery.errors import ChannelError
from whisperer.delivery.plan import ALONE, Rates
from whisperer.errors import ConflictError, InvariantError, NotFoundError, RequestError
from whisperer.journeys.errors import CampaignError
from whisperer.shard.records import Experiment

SMS = {"channel": "sms", "locales": {"en": {"text": "Hello"}}}
CAMPAIGN: dict[str, Any] = {
    "trigger": {"event": "Trial Started"},
    "goal": {"event": "Paid", "window": "1h"},
    "arms": [{"id": "hello", "channel": "sms", "template": "hello"}],
}
SMTP = {"host": "mail.example.com", "username": "ada", "password": "hunter2", "sender": "ada@example.com"}


@pytest.fixture
def plane(plane_url: str):
    with ControlPlane(plane_url, keyring=KEYRING) as plane:
        plane.create_tenant("acme")
        plane.put_template("acme", "hello", SMS)
        yield plane


def statuses(plane: ControlPlane) -> list[tuple[int, str]]:
    found = []
    for version in range(1, 10):
        try:
            found.append((version, plane.get_campaign("acme", "welcome", version).status))
        except NotFoundError:
            break
    return found


# Campaigns


def test_a_draft_is_edited_in_place_and_runs_nowhere(plane: ControlPlane) -> None:
    assert plane.create_campaign("acme", "welcome", CAMPAIGN).status == "draft"
    edited = plane.put_campaign("acme", "welcome", CAMPAIGN | {"purpose": "onboarding"})
    assert (edited.version, edited.campaign.purpose) == (1, "onboarding")
    assert plane.published("acme").campaigns == []
    assert [c.name for c in plane.list_campaigns("acme")] == ["welcome"]


def test_a_name_is_created_once(plane: ControlPlane) -> None:
    plane.create_campaign("acme", "welcome", CAMPAIGN)
    with pytest.raises(ConflictError) as caught:
        plane.create_campaign("acme", "welcome", CAMPAIGN)
    assert caught.value.code == "campaign_exists"


def test_publishing_pins_the_newest_version_of_each_template(plane: ControlPlane) -> None:
    plane.put_template("acme", "hello", SMS)
    live = plane.create_campaign("acme", "welcome", CAMPAIGN, publish=True)
    assert (live.status, live.campaign.arms[0].template_version) == ("live", 2)
    plane.put_template("acme", "hello", SMS)
    assert plane.get_campaign("acme", "welcome").campaign.arms[0].template_version == 2


def test_a_version_stored_before_a_field_was_added_is_no_other_when_published_again(plane: ControlPlane) -> None:
    plane.create_campaign("acme", "welcome", CAMPAIGN, publish=True)
    now = json.loads(plane.get_campaign("acme", "welcome").definition)
    before = json.dumps({name: value for name, value in now.items() if name != "from_name"})
    with plane._writing() as session:  # past the model, which lets nobody change what is published
        session.execute(update(CampaignRow).values(definition=before))
    stored = plane.get_campaign("acme", "welcome")
    again = plane.publish_campaign("acme", "welcome")
    assert (again.version, again.etag, again.definition) == (1, stored.etag, before)
    assert plane.get_campaign("acme", "welcome").campaign.from_name == ""


def test_what_is_live_takes_up_a_newer_template_when_published_again(plane: ControlPlane) -> None:
    plane.create_campaign("acme", "welcome", CAMPAIGN, publish=True)
    assert plane.publish_campaign("acme", "welcome").version == 1
    plane.put_template("acme", "hello", SMS)
    again = plane.publish_campaign("acme", "welcome")
    assert (again.version, again.campaign.arms[0].template_version) == (2, 2)
    assert statuses(plane) == [(1, "ended"), (2, "live")]


def test_editing_what_is_published_makes_a_draft_beside_it(plane: ControlPlane) -> None:
    first = plane.create_campaign("acme", "welcome", CAMPAIGN, publish=True)
    edited = plane.put_campaign("acme", "welcome", CAMPAIGN | {"purpose": "onboarding"})
    assert (edited.version, edited.status, edited.draft_version) == (1, "live", 2)
    assert [c.definition for c in plane.published("acme").campaigns] == [first.definition]
    second = plane.publish_campaign("acme", "welcome")
    assert (second.version, second.status, second.draft_version) == (2, "live", None)
    assert second.first_published_at == first.published_at
    assert statuses(plane) == [(1, "ended"), (2, "live")]
    assert plane.get_campaign("acme", "welcome", 1).definition == first.definition


def test_each_status_leads_where_it_may(plane: ControlPlane) -> None:
    plane.create_campaign("acme", "welcome", CAMPAIGN)
    with pytest.raises(ConflictError):
        plane.pause_campaign("acme", "welcome")
    plane.publish_campaign("acme", "welcome")
    assert plane.pause_campaign("acme", "welcome").status == "paused"
    assert plane.pause_campaign("acme", "welcome").status == "paused"
    with pytest.raises(ConflictError) as caught:
        plane.publish_campaign("acme", "welcome")
    assert caught.value.code == "nothing_to_publish"
    assert plane.resume_campaign("acme", "welcome").status == "live"
    assert plane.end_campaign("acme", "welcome").status == "ended"
    for turn in (plane.pause_campaign, plane.resume_campaign, plane.publish_campaign):
        with pytest.raises(ConflictError):
            turn("acme", "welcome")
    assert [c.status for c in plane.published("acme").campaigns] == ["ended"]


def test_an_ended_campaign_is_revived_as_a_new_version(plane: ControlPlane) -> None:
    plane.create_campaign("acme", "welcome", CAMPAIGN, publish=True)
    plane.end_campaign("acme", "welcome")
    assert plane.put_campaign("acme", "welcome", CAMPAIGN).draft_version == 2
    assert plane.publish_campaign("acme", "welcome").status == "live"
    assert statuses(plane) == [(1, "ended"), (2, "live")]


def test_a_draft_that_never_ran_can_be_ended(plane: ControlPlane) -> None:
    plane.create_campaign("acme", "welcome", CAMPAIGN)
    assert plane.end_campaign("acme", "welcome").status == "ended"
    assert plane.published("acme").campaigns == []
    with pytest.raises(ConflictError):
        plane.publish_campaign("acme", "welcome")


def test_everything_that_hinders_a_publication_is_said_and_nothing_changes(plane: ControlPlane) -> None:
    arms = [
        {"id": "a", "channel": "email", "template": "hello"},
        {"id": "b", "channel": "sms", "template": "nonesuch"},
    ]
    definition = CAMPAIGN | {"arms": arms, "trigger": {"segment": "nonesuch"}}
    with pytest.raises(CampaignError) as caught:
        plane.create_campaign("acme", "welcome", definition, publish=True)
    assert caught.value.code == "unknown_template"
    assert [(e["pointer"], e["code"]) for e in caught.value.errors] == [
        ("/arms/0/channel", "channel_mismatch"),
        ("/arms/1/template", "unknown_template"),
        ("/trigger/segment", "unknown_segment"),
    ]
    assert plane.list_campaigns("acme") == []
    plane.create_campaign("acme", "welcome", CAMPAIGN, publish=True)
    with pytest.raises(CampaignError):
        plane.put_campaign("acme", "welcome", definition, publish=True)
    assert statuses(plane) == [(1, "live")]


def test_a_published_definition_cannot_be_edited(plane: ControlPlane) -> None:
    plane.create_campaign("acme", "welcome", CAMPAIGN, publish=True)
    with Session(plane._engine) as session:
        row = session.query(CampaignRow).one()
        row.definition = row.definition.replace("Paid", "Looked")
        with pytest.raises(InvariantError):
            session.flush()


def test_campaigns_of_one_tenant_are_not_seen_by_another(plane: ControlPlane) -> None:
    plane.create_tenant("globex")
    plane.create_campaign("acme", "welcome", CAMPAIGN, publish=True)
    assert plane.list_campaigns("globex") == plane.published("globex").campaigns == []
    with pytest.raises(CampaignError):  # nor is its template
        plane.create_campaign("globex", "welcome", CAMPAIGN, publish=True)
    for turn in (plane.get_campaign, plane.publish_campaign, plane.end_campaign):
        with pytest.raises(NotFoundError):
            turn("globex", "welcome")


def test_a_campaign_that_cannot_be_used_is_not_stored(plane: ControlPlane) -> None:
    for write in (plane.create_campaign, plane.put_campaign):
        with pytest.raises(CampaignError):
            write("acme", "welcome", CAMPAIGN | {"arms": []})
    assert plane.list_campaigns("acme") == []


def test_every_change_raises_the_version_and_what_changes_nothing_does_not(plane: ControlPlane) -> None:
    seen = [plane.version()]

    def raised() -> bool:
        seen.append(plane.version())
        return seen[-1] > seen[-2]

    plane.create_campaign("acme", "welcome", CAMPAIGN)
    assert raised()
    plane.publish_campaign("acme", "welcome")
    assert raised()
    plane.pause_campaign("acme", "welcome")
    assert raised()
    plane.set_experiment("acme", holdout=0.1)
    assert raised()
    plane.set_channel("acme", "email", "smtp", SMTP)
    assert raised()
    plane.put_template("acme", "hello", SMS)
    assert raised()
    plane.pause_campaign("acme", "welcome")
    plane.set_experiment("acme", holdout=0.1)
    plane.set_channel("acme", "email", "smtp", SMTP)
    plane.published("acme"), plane.list_campaigns("acme"), plane.template("acme", "hello", 1)
    assert not raised()


# Templates


def test_a_template_grows_by_versions_that_never_change(plane: ControlPlane) -> None:
    second = SMS | {"locales": {"en": {"text": "Good day"}}}
    assert plane.put_template("acme", "hello", second).version == 2
    assert plane.template(plane.get_tenant("acme").id, "hello", 1) == SMS
    assert plane.template(plane.get_tenant("acme").id, "hello", 2) == second
    assert [(t.name, t.version) for t in plane.list_templates("acme")] == [("hello", 2)]
    with Session(plane._engine) as session:
        session.query(TemplateRow).first().channel = "email"
        with pytest.raises(InvariantError):
            session.flush()


def test_a_template_that_does_not_compile_is_not_stored(plane: ControlPlane) -> None:
    with pytest.raises(TemplateError):
        plane.put_template("acme", "broken", {"channel": "sms", "locales": {"en": {"text": "{% if %}"}}})
    with pytest.raises(NotFoundError) as caught:
        plane.template("acme", "broken", 1)
    assert caught.value.code == "template_not_found"


def test_a_long_name_is_refused_in_a_short_message(plane: ControlPlane) -> None:
    with pytest.raises(RequestError) as caught:
        plane.put_template("acme", "x" * 10_000, SMS)
    assert caught.value.code == "invalid_name"
    assert len(caught.value.message) < 300


# Channels


def test_a_channel_goes_to_the_sink_until_it_is_told_otherwise(plane: ControlPlane) -> None:
    assert plane.channel("acme", "email") is None
    assert plane.list_channels("acme")["email"] == ChannelConfig("sink", {})
    plane.set_channel("acme", "email", "smtp", SMTP)
    found = plane.channel("acme", "email")
    assert found is not None
    assert (found.provider, found.config["port"], found.config["password"]) == ("smtp", 587, "hunter2")
    assert "hunter2" not in repr(found)
    plane.set_channel("acme", "email", "sink", {})
    assert plane.channel("acme", "email") == ChannelConfig("sink", {})


def test_a_channel_has_rates_and_further_accounts(plane: ControlPlane) -> None:
    plan = {"rates": {"per_second": 5.0}, "failover": [{"provider": "smtp", "name": "backup", "config": SMTP}]}
    plane.set_channel("acme", "email", "smtp", SMTP, plan)
    found = plane.channel("acme", "email")
    assert found is not None
    assert found.plan.rates == Rates(5.0)
    assert [account.name for account in found.plan.failover] == ["backup"]
    assert found.plan.failover[0].config["password"] == "hunter2"
    assert "hunter2" not in repr(found)
    before = plane.version()
    plane.set_channel("acme", "email", "smtp", SMTP, plan)
    assert plane.version() == before
    plane.set_channel("acme", "email", "smtp", SMTP)  # the whole channel is what is written
    assert plane.list_channels("acme")["email"].plan == ALONE
    with pytest.raises(ChannelError):
        plane.set_channel("acme", "email", "smtp", SMTP, {"weight": 0})


def test_a_channel_that_cannot_be_used_is_not_stored(plane: ControlPlane) -> None:
    with pytest.raises(ChannelError):
        plane.set_channel("acme", "email", "smtp", {"host": "mail.example.com"})
    with pytest.raises(NotFoundError):
        plane.set_channel("acme", "x" * 10_000, "sink", {})
    assert plane.channel("acme", "email") is None


# The experiment


def test_each_tenant_has_a_salt_of_its_own_that_stays(plane: ControlPlane) -> None:
    first = plane.experiment("acme")
    plane.create_tenant("globex")
    assert len(first.salt) == 32
    assert plane.experiment("globex").salt != first.salt
    changed = plane.set_experiment("acme", holdout=0.1, consent_default=False)
    assert changed == replace(first, holdout=0.1, consent_default=False) == plane.experiment("acme")
    assert (first.uniform, first.consent_default) == (Experiment().uniform, Experiment().consent_default)
    with Session(plane._engine) as session:
        session.query(ExperimentRow).first().salt = "other"
        with pytest.raises(InvariantError):
            session.flush()


@pytest.mark.parametrize("share", [-0.1, 0.51, float("nan"), float("inf"), True, "0.1"])
def test_a_share_that_is_none_is_refused(plane: ControlPlane, share: Any) -> None:
    for name in ("holdout", "uniform"):
        with pytest.raises(RequestError) as caught:
            plane.set_experiment("acme", **{name: share})
        assert caught.value.code == "invalid_experiment"
