"""`whisperer simulate` and `whisperer report --days`, against a server that is played."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from cluster.cli import entry, report, simulate
from cluster.cli.answers.reading import read
from cluster.cli.answers.simulations import Simulated
from tests.unit.whisperer.simulation.past import DAY, T0, batch, event, identify, plan
from whisperer.simulation.run import simulate as simulated

IDEA = {"name": "idea", "publish": True, "trigger": {"event": "Looked"}}


def result() -> dict[str, Any]:
    """A real one, times as the server writes them."""
    found = simulated(
        plan(policy="arm:text", budget=1.0), [batch(identify("ann", T0 - DAY), event("ann", "Looked", T0))]
    )
    times = {"since": "2026-09-21T14:13:20.000Z", "until": "2026-10-01T14:13:20.000Z"}
    return {**msgspec.to_builtins(found), **times}


class Played:
    """The server: a simulation takes two looks."""

    def __init__(self, *_: Any) -> None:
        self.posted: list[tuple[tuple[str, ...], Any]] = []
        self.n_looks = 0
        self.last: dict[str, Any] = {"status": "done", "error": None, "result": result()}
        self.days: list[dict[str, Any]] = []

    def __call__(self, *_: Any) -> Played:
        return self

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None: ...

    def _document(self, **more: Any) -> dict[str, Any]:
        return {"id": "sim_1", "campaign": "idea", "status": "running", "progress": {"events": 1, "of": 2}, **more}

    def post(self, *path: str, body: Any = None) -> dict[str, Any]:
        self.posted.append((path, body))
        return self._document(result=None)

    def get(self, *path: str) -> dict[str, Any]:
        if path[-1] == "days":
            return {"data": self.days}
        assert path == ("tenants", "acme", "campaigns", "idea", "simulations", "sim_1")
        self.n_looks += 1
        return self._document(**(self.last if self.n_looks > 1 else {"result": None}))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Played:
    played = Played()
    for module in (simulate, report):
        monkeypatch.setattr(module, "Operator", played)
    monkeypatch.setattr("time.sleep", lambda _: None)
    return played


def run(*args: str) -> int:
    sys.argv = ["whisperer", *args, "--tenant", "acme"]
    with pytest.raises(SystemExit) as ended:
        entry.main()
    return int(ended.value.code or 0)


def test_people_are_told_who_what_worth_and_what_speaks_against_it(
    server: Played, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    assert run("simulate", "idea", "--policy", "arm:text", "--budget", "1") == 0
    said = capsys.readouterr()
    for part in ("users reached", "text", "holdout", "There is no holdout: no lift can ever be shown."):
        assert part in said.out
    for part in ("2 events of 1 users replayed", "Nothing was sent", "Cost: 0.10 of 1.00, 10%", "cannot be estimated"):
        assert part in said.err
    (path, body) = server.posted[0]
    assert path[-2:] == ("idea", "simulate")
    assert (body["policy"], body["days"], body["budget"], "definition" in body) == ("arm:text", 28, 1.0, False)


def test_programs_get_one_document_and_a_definition_is_sent_without_its_name(
    server: Played, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "idea.json"
    file.write_text(json.dumps(IDEA))
    assert run("simulate", "idea", "--definition", str(file), "--json") == 0
    assert json.loads(capsys.readouterr().out)["result"]["candidates"] == 1
    assert server.posted[0][1]["definition"] == {"trigger": {"event": "Looked"}}


def test_what_blocks_ends_with_1_where_that_is_asked_for(server: Played) -> None:
    assert run("simulate", "idea", "--strict") == simulate.BLOCKED
    server.n_looks = 0
    for item in server.last["result"]["checklist"]:
        item["level"] = "ok"
    assert run("simulate", "idea", "--strict") == 0


def test_a_simulation_that_failed_says_why(server: Played, capsys: pytest.CaptureFixture[str]) -> None:
    server.last = {"status": "failed", "error": "its process ended early", "result": None}
    assert run("simulate", "idea") == 1
    assert "its process ended early" in capsys.readouterr().err


def test_an_estimate_is_told_with_its_interval(capsys: pytest.CaptureFixture[str]) -> None:
    interval = {"value": 0.25, "low": 0.2, "high": 0.3}
    value = {
        "per_decision": interval,
        "over_no_send": interval | {"low": None},
        "total": {name: 100 * end for name, end in interval.items()},
        "source": "welcome",
        "decisions": 5_000,
        "effective": 1_234.0,
        "caveats": ["It flatters."],
    }
    simulate.print_simulation(read(result() | {"value": value}, Simulated))
    said = " ".join(capsys.readouterr().err.split())
    assert "Worth: 0.25 (95 %: 0.2 to 0.3) a decision; 0.25 (no interval) over sending nothing; 25" in said
    assert "from 5,000 decisions of welcome, worth 1,234 of its own" in said
    assert "It flatters." in said


def test_a_report_by_day_marks_what_is_decided(
    server: Played, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    look = {"difference": 0.1, "low": 0.05, "high": 0.15, "decided": True}
    not_yet = {"not_yet": "few", "reason": "too_few_users"}
    comparisons = {"lift": look, "uniform_lift": not_yet, "over_uniform": look | {"low": -0.1, "decided": False}}
    groups = [{"users": 1_500}, {"users": 500}]
    ratio = {"suspicious": True, "p_value": 0.0001}
    server.days = [{"day": "2026-03-01", "groups": groups, "sample_ratio": ratio, **comparisons}]
    assert run("report", "welcome", "--days") == 0
    said = capsys.readouterr()
    assert "+0.1000 (+0.0500 to +0.1500) *" in said.out
    assert "2,000" in said.out
    assert "not yet" in said.out
    assert "+0.1000 (-0.1000 to +0.1500) *" not in said.out
    assert "do not believe the lift" in said.err
