"""A simulation in a process of its own, over a real warehouse; and a past that is longer than what is replayed."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.jobs import Jobs
from actors.jobs.simulation_runs import Simulations
from actors.simulation.process import carry_out
from actors.simulation.record import TIME_LIMIT_S, Task
from actors.warehouse import Warehouse
from actors.warehouse.tenant_history import Past
from tests.support.jobs_here import jobs_here
from tests.unit.actors.warehouse.conftest import (
    NEW_YEAR_2026,
    Event,
    decision,
    delivery,
    logged,
    outcome,
    record,
    reward,
)
from tests.unit.whisperer.simulation.past import DAY, TEMPLATES, plan
from whisperer.feedback.outcome import OutcomeKind
from whisperer.journeys.campaign import to_json
from whisperer.simulation.checks import Found, checklist
from whisperer.simulation.forecast import Power
from whisperer.simulation.history import ASKED, SENT, Fact
from whisperer.simulation.plan import MAX_DAYS, MOST_EVENTS, SimulationPlan
from whisperer.simulation.replay import MOST_RENDERED, MOST_STEPS
from whisperer.simulation.tally import CampaignTally
from whisperer.simulation.value import FEWEST_EFFECTIVE

HOUR, T0 = 3_600_000, NEW_YEAR_2026
TENANT = "acme"


def asked(**more: object) -> SimulationPlan:
    """Of ten days from the new year on."""
    stated = {"since": T0, "until": T0 + 10 * DAY, **more}
    base = plan(templates=TEMPLATES)
    return SimulationPlan(TENANT, base.name, 1, base.definition, **stated)  # type: ignore[arg-type]


def stored(folder: Path, users: int = 40) -> str:
    warehouse = Warehouse(folder, pseudonym_key=b"k")
    events = [Event(f"u:{u}", "Looked", T0 + u * HOUR + n, link=f"a:phone-{u}") for u in range(users) for n in (0, 9)]
    events += [Event(f"a:phone-{u}", "Seen", T0 + u * HOUR - 5) for u in range(users)]
    warehouse.export(0, 0, 10, [record(1, TENANT, *events)])
    return str(folder)


async def test_a_simulation_runs_in_a_process_of_its_own_and_its_record_is_read_by_anyone(tmp_path: Path) -> None:
    uri = stored(tmp_path)
    jobs = Jobs(tmp_path / "jobs")
    runs = Simulations(uri, jobs)
    begun = await runs.begin(asked())
    await runs.settled()
    await jobs.aclose()
    found = await Simulations(uri, jobs).show(TENANT, begun.campaign, begun.id)
    assert (found.status, found.error, found.n_done) == ("done", "", 120)
    assert found.result is not None
    assert found.result.refused == {"no_address": 80}


async def test_a_process_that_is_killed_leaves_a_record_that_says_so(tmp_path: Path) -> None:
    async def killed(_: object) -> list[bytes]:
        raise ProcessLookupError

    runs = Simulations(stored(tmp_path), jobs_here(tmp_path / "jobs", killed))
    begun = await runs.begin(asked())
    await runs.settled()
    assert (await runs.show(TENANT, begun.campaign, begun.id)).error == "its process ended early"


def test_an_error_of_ours_is_told_and_a_bug_is_not_disclosed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def task(number: int, made: SimulationPlan) -> Task:
        return Task(
            f"sim_{number}", f"simulations/acme/nudge/sim_{number}.json", stored(tmp_path / str(number)), made, b"", 0
        )

    assert "there is no policy" in carry_out(task(1, asked(policy="arm:nope"))).error
    monkeypatch.setattr(Past, "facts", lambda *_: 1 / 0)
    broken = carry_out(task(2, asked()))
    assert (broken.status, broken.error) == ("failed", "an error of kind ZeroDivisionError; the log has more")


def test_open_ends_are_those_of_the_history(tmp_path: Path) -> None:
    task = Task("sim_1", "simulations/acme/nudge/sim_1.json", stored(tmp_path), asked(since=-2 * DAY, until=0), b"", 0)
    result = carry_out(task).result
    assert result is not None
    assert (result.until, result.since) == (T0 + 39 * HOUR + 10, T0 + 39 * HOUR + 10 - 2 * DAY)


def test_of_a_longer_past_a_share_of_the_users_is_taken_each_with_everything(tmp_path: Path) -> None:
    with Past(Warehouse(stored(tmp_path, 200)), TENANT) as past:
        batches = list(past.events(T0 + 400 * DAY, 0.3))
    keys = [key for batch in batches for key in batch["user_key"].to_pylist()]
    whole = {key.removeprefix("u:") for key in keys if key.startswith("u:")}
    phones = {key.removeprefix("a:phone-") for key in keys if key.startswith("a:")}
    assert whole == phones
    assert len(keys) == 3 * len(whole)
    assert 30 < len(whole) < 90


def test_the_share_follows_from_what_may_be_replayed(tmp_path: Path) -> None:
    task = Task("sim_1", "simulations/acme/nudge/sim_1.json", stored(tmp_path, 200), asked(), b"", 0, most_events=300)
    found = carry_out(task)
    assert found.result is not None
    assert (found.result.share, found.n_events) == (0.5, 300)
    assert 200 < found.n_done < 400


def test_facts_and_decisions_are_read_as_they_were_logged(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path, pseudonym_key=b"k")
    rows = [
        decision("u:a", "dec_1", T0, TENANT, campaign="nudge", trigger="request", occurrence="order-1"),
        decision("u:b", "dec_2", T0 + 1, TENANT, campaign="nudge", arm="mail", arms=["no_send", "mail"]),
        decision("u:c", "dec_3", T0 + 2, TENANT, campaign="nudge", group="holdout", arm="no_send"),
        decision("u:d", "dec_4", T0 + 3, TENANT, campaign="nudge"),
        delivery("u:b", "dec_2", T0 + 4, campaign="nudge"),
        delivery("u:e", "dec_5", T0 + 5, campaign="other"),
        delivery("u:f", "dec_6", T0 + 6, campaign="other", status="retry"),
        outcome("u:e", "dec_5", T0 + 7, OutcomeKind.UNSUBSCRIBED, campaign="other"),
        outcome("u:b", "dec_2", T0 + 8, OutcomeKind.BOUNCED, campaign="nudge"),
        outcome("u:b", "dec_2", T0 + 9, "opened", campaign="nudge"),
        outcome("u:b", "dec_2", T0 + 99 * DAY, OutcomeKind.UNSUBSCRIBED, campaign="nudge"),
    ]
    rewards = [
        ("dec_2", 0, 5), ("dec_2", 1, 7), ("dec_3", 1, 9), ("dec_4", 0, 3),
    ]  # fmt: skip
    made = [
        type(one)(**{**{name: getattr(one, name) for name in one.__struct_fields__}, "campaign": "nudge"})
        for one in (reward("u:x", id, T0 + HOUR, revision, micros) for id, revision, micros in rewards)
    ]
    warehouse.export(0, 0, 10, [logged(3, *rows, *made)])
    with Past(warehouse, TENANT) as past:
        assert past.facts(asked()) == [
            Fact(T0, ASKED, "u:a", "nudge", "", "order-1"),
            Fact(T0 + 5, SENT, "u:e", "other", "email", "snd_5"),
            Fact(T0 + 7, OutcomeKind.UNSUBSCRIBED, "u:e", "other", "email"),
            Fact(T0 + 8, OutcomeKind.BOUNCED, "u:b", "nudge", "email"),
        ]
        (log,) = past.logs(asked(others=[to_json(plan().campaign)]))
    assert (log.user, log.arm, log.reward_micros, log.at) == (["u:b"], ["mail"], [7], [T0 + 1])
    assert log.propensities == [[0.25, 0.75]]
    assert log.features[0][0] == 3.0


def test_bounds_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[4] / "docs" / "simulation.md").read_text()
    for told in (
        f"{MOST_EVENTS:,} events",
        f"{MOST_STEPS:,}th of the time",
        f"more than {MOST_RENDERED:,} messages",
        f"at most {TIME_LIMIT_S // 60} minutes",
        f"fewer than {FEWEST_EFFECTIVE:.0f} effective decisions",
        f"{MAX_DAYS} at most",
    ):
        assert told in " ".join(page.split()), told
    checks = page.partition("## The checklist")[2]
    for item in checklist(asked(), Found(CampaignTally(asked().campaign), 0, 0, Power(0, 0, 0, 0, None, None))):
        assert f"`{item.code}`" in checks, item.code
