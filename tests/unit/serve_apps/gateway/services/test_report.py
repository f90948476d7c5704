"""The sums over shards, the report made of them, and the documents behind status, metrics, home and OpenAPI."""

from __future__ import annotations

import json
import pickle
import re
import time
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.calls.plain import plain
from actors.calls.shard_status import ShardStatus, read_status
from serve_apps.gateway.metrics.exposition import exposition
from serve_apps.gateway.metrics.sums import by_tenant, encodable
from serve_apps.gateway.pages.answers import Documents
from serve_apps.gateway.pages.documents import Tenants
from serve_apps.gateway.pages.home import render_home
from serve_apps.gateway.routes import openapi
from tests.support.gateway_world import Caller, World
from tests.unit.serve_apps.gateway.routes.test_campaigns import CAMPAIGN, SMS
from tests.unit.serve_apps.gateway.routes.test_decisions import send
from tests.unit.serve_apps.gateway.statuses import serving
from whisperer.evaluation.lift import GroupTally
from whisperer.feedback.links import CLICK, Link
from whisperer.journeys.schema import EXAMPLE
from whisperer.shard.views.counts import ArmCounts, CampaignCounts, TenantCounts, loop_counts
from whisperer.vocabulary.reasons import Reason

counts = st.integers(0, 10**6)
reasons = st.dictionaries(st.sampled_from([r.value for r in Reason]), counts, max_size=4)


@st.composite
def campaign_counts(draw: st.DrawFn) -> CampaignCounts:
    """One campaign's counts on one shard, balanced as a shard guarantees."""
    sent, no_send, pending, refused = draw(counts), draw(counts), draw(counts), draw(reasons)
    return CampaignCounts(
        version=draw(st.none() | st.integers(1, 3)),
        status="live",
        candidates=sent + no_send + pending + sum(refused.values()),
        sent=sent,
        no_send=no_send,
        pending=pending,
        refused=refused,
        conversions=draw(counts),
        outcomes={"opened": draw(counts)},
        groups=draw(
            st.dictionaries(
                st.sampled_from(["holdout", "policy"]), st.builds(GroupTally, counts, counts, st.integers(0, 2**70))
            )
        ),
        arms=[ArmCounts("policy", "tips", 1, 1, 0, -5)],
    )


def status(tenant: str, campaigns: dict[str, CampaignCounts]) -> ShardStatus:
    return serving(tenants={tenant: TenantCounts(users=1, events_accepted=2, campaigns=campaigns)})


@given(st.lists(st.dictionaries(st.sampled_from(["a", "b"]), campaign_counts()), max_size=4))
def test_candidates_are_all_accounted_for_by_campaign_and_in_total(shards: list[dict[str, CampaignCounts]]) -> None:
    summed = by_tenant([status("t", campaigns) for campaigns in shards])
    campaigns = summed["t"].campaigns if shards else {}
    total = loop_counts(campaigns.values())
    for counted in [*campaigns.values(), total]:
        parts = counted.sent + counted.no_send + counted.pending + sum(counted.refused.values())
        assert counted.candidates == parts
    every = [counted for campaigns in shards for counted in campaigns.values()]
    assert total.candidates == sum(counted.candidates for counted in every)
    assert total.outcomes.get("opened", 0) == sum(counted.outcomes["opened"] for counted in every)


@given(st.lists(campaign_counts(), min_size=1, max_size=4))
def test_sums_do_not_depend_on_the_order_of_shards(shards: list[CampaignCounts]) -> None:
    statuses = [status("t", {"a": counted}) for counted in shards]
    forward, backward = (by_tenant(order)["t"].campaigns["a"] for order in (statuses, statuses[::-1]))
    assert forward == backward


@given(campaign_counts())
def test_a_shards_counts_arrive_as_they_were_sent(counted: CampaignCounts) -> None:
    found = status("t", {"a": counted})
    assert read_status(pickle.loads(pickle.dumps(plain(found)))) == found


def test_a_sum_beyond_64_bits_loses_digits_in_json_and_no_other_does() -> None:
    large = CampaignCounts(
        groups={"policy": GroupTally(3, 2**63, 2**70), "holdout": GroupTally(1, 5, 25)},
        arms=[ArmCounts("policy", "tips", 1, 1, 0, -(2**64)), ArmCounts("policy", "no_send", 1, 0, 0, 7)],
    )
    shown = msgspec.json.decode(msgspec.json.encode(encodable(large)))
    policy = {"users": 3, "total_milli": float(2**63), "squares_milli2": float(2**70), "absolute_milli": 0}
    assert shown["groups"] == {"policy": policy, "holdout": plain(GroupTally(1, 5, 25))}
    assert [arm["reward_micros"] for arm in shown["arms"]] == [-float(2**64), 7]
    small = CampaignCounts(groups={"holdout": GroupTally(1, 5, 25)})
    assert encodable(small) is small


def counted(users: int, per_user_milli: int) -> dict[str, int]:
    return {
        "users": users,
        "total_milli": users * per_user_milli,
        "squares_milli2": users * per_user_milli * 1_000,
    }


def shard_counts(**more: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "status": "live",
        **{"candidates": 600, "sent": 400, "no_send": 100, "pending": 20, "refused": {"capped": 80}},
        "conversions": 70,
        "conflicted": 1,
        "outcomes": {"opened": 30, "clicked": 3},
        "groups": {"holdout": counted(50, 100), "uniform": counted(50, 150), "policy": counted(900, 300)},
        "arms": [
            {"group": "policy", "arm": "no_send", "decisions": 50, "sent": 0, "converted": 5, "reward_micros": 0},
            {"group": "holdout", "arm": "no_send", "decisions": 50, "sent": 0, "converted": 5, "reward_micros": 0},
            {
                "group": "policy",
                "arm": "hello",
                "decisions": 200,
                "sent": 190,
                "converted": 60,
                "reward_micros": 58_500_000,
            },
        ],
        **more,
    }


@pytest.fixture
async def running(world: World, acme: Caller) -> Caller:
    await acme.ok("PUT", "/templates/hello", SMS)
    await acme.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **CAMPAIGN})
    world.shards.campaigns[acme.id] = [{"welcome": shard_counts()}, {"welcome": shard_counts()}]
    return acme


async def test_a_report_adds_up_and_states_its_lift_with_an_interval(running: Caller) -> None:
    report = await running.ok("GET", "/campaigns/welcome/report")
    assert (report["candidates"], report["sent"], report["no_send"], report["pending"]) == (1_200, 800, 200, 40)
    assert report["candidates"] == 800 + 200 + 40 + sum(report["refused"].values())
    assert [(g["group"], g["users"], g["mean"]) for g in report["groups"]] == [
        ("holdout", 100, 0.1),
        ("uniform", 100, 0.15),
        ("policy", 1_800, 0.3),
    ]
    lift = report["lift"]
    assert lift["difference"] == pytest.approx(0.2)
    assert lift["low"] < 0.2 < lift["high"]
    assert (lift["users"], lift["holdout_users"]) == (1_800, 100)
    assert report["uniform_lift"]["difference"] == pytest.approx(0.05)
    assert report["sample_ratio"]["suspicious"] is False
    assert [(a["group"], a["arm"], a["decisions"]) for a in report["arms"]] == [
        ("holdout", "no_send", 100),
        ("policy", "hello", 400),
        ("policy", "no_send", 100),
    ]
    assert report["arms"][1]["reward"] == 117.0
    assert report["since"] == report["published_at"]
    assert report["conflicted_users"] == 2


async def test_too_few_users_are_a_reason_and_lopsided_groups_a_warning(running: Caller, world: World) -> None:
    few = shard_counts(groups={"holdout": counted(3, 100), "policy": counted(900, 300)})
    world.shards.campaigns[running.id] = [{"welcome": few}, {}]
    report = await running.ok("GET", "/campaigns/welcome/report")
    assert report["lift"]["reason"] == "too_few_users"
    assert "at least" in report["lift"]["not_yet"]
    assert report["sample_ratio"]["suspicious"] is True
    assert report["groups"][1] == {"group": "uniform", "users": 0, "mean": None}


async def test_a_campaign_that_no_shard_knows_yet_has_a_report_of_nothing(running: Caller, world: World) -> None:
    world.shards.campaigns.clear()
    report = await running.ok("GET", "/campaigns/welcome/report")
    assert (report["candidates"], report["refused"], report["arms"]) == (0, {}, [])


async def test_counts_stand_beside_each_campaign_and_in_status(running: Caller, world: World) -> None:
    (listed,) = (await running.ok("GET", "/campaigns"))["data"]
    assert listed["counts"] == {
        **{"candidates": 1_200, "sent": 800, "unknown": 0, "no_send": 200, "pending": 40},
        **{"conversions": 140, "refused": {"capped": 160}},
    }
    status = await world.parts.overview.status()
    tenant = status.tenants["acme"]
    metrics = exposition(status).decode()
    assert 'whisperer_candidates_total{tenant="acme"} 1200.0' in metrics
    assert 'whisperer_candidates_closed_total{outcome="refused",reason="capped",tenant="acme"} 160.0' in metrics
    assert {name: getattr(tenant, name) for name in listed["counts"]} == listed["counts"]


async def test_the_home_document_has_the_loop_and_renders(running: Caller, world: World) -> None:
    send(world, running, 1)
    await world.parts.overview.shards(fresh=True)
    document = await Documents(world.parts).home()
    (campaign,) = document.loop.campaigns
    assert (campaign.tenant, campaign.name, campaign.candidates) == ("acme", "welcome", 1_200)
    assert [(arm.arm, arm.channel, arm.decisions) for arm in campaign.arms] == [
        ("hello", "sms", 400),
        ("no_send", "", 200),
    ]
    totals = document.loop.totals
    assert (totals.candidates, totals.opened, totals.clicked, totals.unsubscribed) == (1_200, 60, 6, 0)
    assert document.loop.latest_messages[0].subject == "message 1"
    assert "welcome" in render_home(document, base_url="http://127.0.0.1:8000")


async def test_pages_get_their_documents_by_the_tenants_name(running: Caller, world: World) -> None:
    send(world, running, 1)
    world.user(running, "u1")
    source = Documents(world.parts)
    assert await source.tenants() == Tenants(["acme"], None)
    page = await source.sink("acme", None, "u1", None, None, 50)
    assert [m.user_id for m in page.messages] == ["u1"]
    assert (page.next_before, page.campaigns, page.counts.total) == (None, ["welcome"], 1)
    assert (await source.message("acme", f"snd_{running.id}_1")).decision_id == "dec_1"
    assert (await source.user("acme", "u1")).candidacies == []
    assert (await source.campaign("acme", "welcome")).compressed is False


def test_only_our_own_links_have_a_target(world: World) -> None:
    source = Documents(world.parts)
    link = Link(CLICK, "tn_1", "u:u1", "dec_1", "email", "marketing", "https://example.com/a", time.time_ns() // 10**6)
    token = source._signer.sign(link)
    assert source.link_target(f"http://127.0.0.1:8000/m/c/{token}") == (CLICK, "https://example.com/a")
    assert source.link_target(f"http://127.0.0.1:8000/m/c/{token[:-1]}") is None
    assert source.link_target("https://example.com/a") is None


async def test_the_openapi_document_is_whole_and_its_examples_are_valid(acme: Caller) -> None:
    document = (await acme.http.get("/openapi.json")).json()
    text = json.dumps(document)
    assert "#/$defs/" not in text
    assert "/internal/" not in text
    schemas = document["components"]["schemas"]
    for reference in set(part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]):
        assert reference in schemas, reference
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], path
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body is not None:
                schema = {**body["schema"], "components": document["components"]}
                jsonschema.Draft202012Validator(schema).validate(body["example"])
                assert method in ("post", "put", "patch")


def test_the_schema_of_a_campaign_is_that_of_the_parser() -> None:
    components = {"schemas": openapi.schemas()}
    validator = jsonschema.Draft202012Validator({"$ref": "#/components/schemas/NewCampaign", "components": components})
    validator.validate({"name": "welcome", "publish": True, **EXAMPLE})
    assert not validator.is_valid({"name": "welcome", **EXAMPLE, "arms": []})
    assert not validator.is_valid(EXAMPLE)


KINDS = {
    "{kind}": ("campaigns", "templates", "segments", "policies"),
    "{versioned}": ("campaigns", "templates", "segments"),
}


def told_calls(page: str) -> set[tuple[str, str]]:
    """Return the (method, path) pairs of the table: in "`GET`, `PUT /v1/x`" both methods are of /v1/x."""
    calls: set[tuple[str, str]] = set()
    for row in page.splitlines():
        waiting: list[str] = []
        for span in re.findall(r"`((?:GET|PUT|POST|PATCH|DELETE)(?: /[^`?]+)?)", row if row.startswith("| `") else ""):
            method, _, path = span.partition(" ")
            waiting.append(method)
            if path:
                calls |= {(each, one) for each in waiting for one in _for_each_kind(path)}
                waiting = []
    return calls


def _for_each_kind(path: str) -> list[str]:
    placeholder = next((one for one in KINDS if one in path), None)
    return [path.replace(placeholder, kind) for kind in KINDS[placeholder]] if placeholder else [path]


async def test_exactly_the_calls_there_are_are_on_the_page_about_the_interface(acme: Caller) -> None:
    page = (Path(__file__).parents[5] / "docs" / "api.md").read_text()
    document = (await acme.http.get("/openapi.json")).json()
    calls = {(method.upper(), path) for path, operations in document["paths"].items() for method in operations}
    told = told_calls(page)
    assert (calls - told, told - calls) == (set(), set())
