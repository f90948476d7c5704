"""How good a campaign's messages were: by arm and language, calibrated by its channel, on the page and over HTTP."""

from __future__ import annotations

import asyncio
import time

import pytest

from actors.calls.plain import plain
from actors.jobs import StoredArmScores
from actors.warehouse import Warehouse
from serve_apps.gateway.pages.answers import Documents
from serve_apps.gateway.services.campaign_quality import of_arms
from serve_apps.gateway.services.quality import DAYS, QualityDocument, curves, document
from tests.support.gateway_world import Caller, World
from tests.unit.actors.warehouse.conftest import decision, delivery, logged, outcome
from tests.unit.serve_apps.gateway.routes.test_campaigns import CAMPAIGN, SMS
from whisperer.content.quality.calibration import Observed, fit

NOW = 1_767_225_600_000


def test_means_are_over_messages_and_calibrated_by_the_channels_own_curve() -> None:
    """Readers of SMS do not care for the score: a good one counts for less, a bad one for more."""
    curve = fit([Observed(0.25, 10_000, 500), Observed(4.75, 10_000, 500)])
    found = of_arms(
        "welcome",
        [
            StoredArmScores(
                "tips", "sms", "de", [(0, 100, 25.0), (9, 300, 1_422.0)], 400, {"tone": 80.0, "length": 1.0}
            ),
            StoredArmScores("tips", "email", "de", [(9, 100, 490.0)], 0, {"tone": 0.0}),
        ],
        {"sms": curve},
        NOW,
        90,
    )
    sms, email = found.arms
    assert (sms.scored, sms.mean) == (400, 3.62)
    expected = (100 * curve.calibrated(0.25) + 300 * curve.calibrated(4.74)) / 400
    assert sms.calibrated == round(expected, 2)
    assert curve.calibrated(4.75) < 4
    assert [(one.criterion, one.mark) for one in sms.lowest] == [("tone", 0.8)], "what costs nothing is left out"
    assert (email.mean, email.calibrated, email.lowest) == (4.9, 4.9, [])
    assert (found.scored, found.mean) == (500, round((400 * 3.62 + 490) / 500, 2))


def test_without_messages_there_is_no_mean() -> None:
    found = of_arms("welcome", [], {}, NOW, 90)
    assert (found.scored, found.mean, found.calibrated, found.arms) == (0, None, None, [])


def test_the_curve_of_a_document_is_the_one_that_it_was_made_of() -> None:
    assert curves(QualityDocument(as_of=None, days=DAYS, channels=[])) == {}
    assert curves(document([], NOW)) == {}


@pytest.fixture
async def sent(world: World, acme: Caller) -> Caller:
    await acme.ok("PUT", "/templates/hello", SMS)
    await acme.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **CAMPAIGN})
    now = time.time_ns() // 1_000_000
    rows = []
    for n, (arm, locale, said) in enumerate(
        (
            ("a", "de", '{"quality":4.0,"marks":{"readability":0.5}}'),
            ("a", "de", '{"quality":5.0}'),
            ("a", "en", '{"quality":3.0,"marks":{"length":0.25,"tone":0.75}}'),
            ("b", "en", ""),
        )
    ):
        at = now - 60_000 * (n + 1)
        rows += [
            decision(f"u:{n}", f"dec_{n}", at, acme.id, arm=arm),
            delivery(f"u:{n}", f"dec_{n}", at, tenant=acme.id, locale=locale, provenance=said),
            outcome(f"u:{n}", f"dec_{n}", at + 1, tenant=acme.id),
        ]
    await asyncio.to_thread(Warehouse(world.warehouse).export, 10, 0, 100, [logged(1, *rows)])
    return acme


async def test_it_is_answered_and_shown_on_the_campaigns_page(world: World, sent: Caller) -> None:
    found = await sent.ok("GET", "/campaigns/welcome/report/quality")
    assert (found["scored"], found["mean"], found["days"]) == (3, 4.0, 90)
    de, en = found["arms"]
    assert (de["arm"], de["locale"], de["scored"], de["mean"]) == ("a", "de", 2, 4.5)
    assert de["lowest"] == [{"criterion": "readability", "mark": 0.75}]
    assert [one["criterion"] for one in en["lowest"]] == ["length", "tone"]
    page = await Documents(world.parts).campaign("acme", "welcome")
    assert plain(page.quality) == found


async def test_what_is_not_ones_own_is_not_there(world: World, sent: Caller) -> None:
    assert await sent.problem("GET", "/campaigns/nope/report/quality") == (404, "campaign_not_found")
    other = world.tenant("other")
    assert await other.problem("GET", "/campaigns/welcome/report/quality") == (404, "campaign_not_found")
    await other.ok("PUT", "/templates/hello", SMS)
    await other.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **CAMPAIGN})
    assert (await other.ok("GET", "/campaigns/welcome/report/quality"))["arms"] == []


async def test_a_warehouse_that_cannot_be_read_leaves_the_page_without_it(world: World, sent: Caller) -> None:
    for path in world.warehouse.rglob("*.parquet"):
        path.unlink()
    assert await sent.problem("GET", "/campaigns/welcome/report/quality") == (503, "unavailable")
    assert (await Documents(world.parts).campaign("acme", "welcome")).quality is None
