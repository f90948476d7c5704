"""Lift by day on the campaign's page, and what a simulation found."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from serve_apps.gateway.pages.campaign import render_campaign
from serve_apps.gateway.pages.days import days_picture
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.services.lift_days import AnyLook, AnytimeDocument, DayDocument, GroupLook, RatioLook
from serve_apps.gateway.services.report import NotYetDocument
from serve_apps.gateway.services.simulations import Progress, SimulationDocument
from tests.unit.serve_apps.gateway.pages.documents import NOW
from tests.unit.serve_apps.gateway.pages.loop_documents import campaign
from tests.unit.serve_apps.gateway.pages.reading import HOSTILE, Outline, check_markup, check_policy, words
from whisperer.simulation.checks import Item
from whisperer.simulation.result import BudgetResult, IntervalResult, Reach, SimulationResult, ValueResult

NOT_YET = NotYetDocument("3 users in the smaller group; at least 20 are needed", "too_few_users")


def look(difference: float, half: float) -> AnytimeDocument:
    low, high = difference - half, difference + half
    return AnytimeDocument(difference=difference, low=low, high=high, level=0.95, decided=low > 0 or high < 0)


def day(number: int, lift: AnyLook, *, suspicious: bool = False) -> DayDocument:
    return DayDocument(
        day=f"2026-03-{number:02}",
        groups=[GroupLook("policy", 10, 10 * number, 0.3)],
        lift=lift,
        uniform_lift=look(0.01, 0.2),
        over_uniform=NOT_YET,
        sample_ratio=RatioLook(0.0001 if suspicious else 1.0, suspicious),
    )


DAYS = [day(1, NOT_YET), day(2, look(0.3, 2.0)), day(3, look(0.1, 0.2)), day(4, look(0.1, 0.05))]


def result(**changes: Any) -> SimulationResult[str]:
    found: SimulationResult[str] = SimulationResult(
        campaign="Adopt a feature",
        version=3,
        policy="learned",
        since="2026-02-01T00:00:00.000Z",
        until="2026-03-01T00:00:00.000Z",
        share=0.25,
        events=20,
        users=100,
        candidates=100,
        sent=60,
        no_send=30,
        refused={"capped": 10},
        pending=0,
        spent=0.0,
        reach=Reach(100, 90, 60),
        groups={},
        arms=[],
        days=[],
        budget=BudgetResult(amount=None, spent=0.0, used=None, windows=[], price=0.0),
        value=ValueResult(not_estimated="cannot be estimated: nobody tried it.", reason="no_log"),
        checklist=[Item("goal", "ok", "Fine."), Item("channels", "block", "sms would go to the sink.", "Set it.")],
        caveats=[],
    )
    return msgspec.structs.replace(found, **changes)


def simulation(**changes: Any) -> SimulationDocument:
    found = SimulationDocument(
        id="sim_1",
        campaign="Adopt a feature",
        status="done",
        started_at="2026-03-01T00:00:00.000Z",
        finished_at=None,
        progress=Progress(10, 20),
        error=None,
        result=result(),
    )
    return msgspec.structs.replace(found, **changes)


def page(**more: Any) -> str:
    html = render_campaign(campaign(**more), now=NOW, site=Site("demo", ("demo",)))
    check_policy(html)
    check_markup(html)
    return html


def test_the_band_narrows_the_edge_cuts_and_zero_is_where_it_is() -> None:
    found = days_picture(DAYS)
    assert found is not None
    points = [tuple(map(float, point.split(","))) for point in found.line.split()]
    assert [x for x, _ in points] == [0.0, 50.0, 100.0]
    assert all(0 <= y <= 100 for _, y in points)
    band = [float(point.split(",")[1]) for point in found.band.split()]
    widths = [bottom - top for top, bottom in zip(band[:3], band[:2:-1], strict=True)]
    assert widths == sorted(widths, reverse=True)
    assert band[0] == 0.0, "the first look is cut off at the edge"
    assert points[-1][1] < found.zero <= 100
    assert (found.certain, found.first, found.last) == ("above", "2026-03-02", "2026-03-04")


def test_where_it_stands_is_told_in_words_with_the_day_since_which() -> None:
    text = words(page(days=DAYS))
    assert "Lift by day" in text
    assert "policy over holdout +0.1 per user (95 % at all looks: 0.05 to 0.15), decided since 2026-03-04" in text
    assert "uniform over holdout +0.01 per user (95 % at all looks: −0.19 to 0.21), not decided" in text
    assert "policy over uniform not yet: 3 users in the smaller group" in text
    assert "40 users whose window has closed" in text


@pytest.mark.parametrize("days", [[], [day(1, NOT_YET)], [day(1, look(0.0, 0.0))]])
def test_without_two_looks_there_is_no_course(days: list[DayDocument]) -> None:
    assert "polyline" not in Outline(page(days=days)).names


def test_a_course_that_never_moves_has_a_place() -> None:
    found = days_picture([day(1, look(0.0, 0.0)), day(2, look(0.0, 0.0))])
    assert found is not None
    assert found.line == "0,50 100,50"


def test_groups_of_the_wrong_size_are_not_to_be_trusted_whatever_the_course() -> None:
    assert "looked at daily (p = 0.0001, below 0.001)" in words(
        page(days=[*DAYS, day(5, look(0.1, 0.05), suspicious=True)])
    )


def test_a_simulation_says_what_became_of_candidates_and_what_speaks_against_launching() -> None:
    text = words(page(simulation=simulation()))
    assert "Simulation done" in text
    assert "100 candidates by the policy learned, 2026-02-01 to 2026-03-01, of 25 % of users. Nothing was sent." in text
    assert "block sms would go to the sink. Set it." in text
    assert "Fine." not in text
    assert "What it is worth cannot be estimated: nobody tried it." in text


def test_a_value_is_told_with_its_interval_and_a_clean_list_in_a_sentence() -> None:
    value = ValueResult(per_decision=IntervalResult(0.25, 0.2, 0.3))
    text = words(page(simulation=simulation(result=result(value=value, checklist=[]))))
    assert "Worth 0.25 a decision (95 %: 0.2 to 0.3)." in text
    assert "Nothing speaks against launching it." in text


def test_a_simulation_under_way_or_failed_says_so() -> None:
    assert "10 of 20 events replayed" in words(page(simulation=simulation(status="running", result=None)))
    failed = simulation(status="failed", result=None, error=HOSTILE)
    assert "<img src=x" not in page(simulation=failed)
