"""`whisperer analytics`: what is asked of the gateway, and how its answers are shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.cli import analytics
from cluster.cli.analytics_tables import bar
from serve_apps.gateway.routes.analytics import (
    FUNNEL_ANSWER,
    LIFECYCLE_ANSWER,
    RETENTION_ANSWER,
    STICKINESS_ANSWER,
    TRENDS_ANSWER,
)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    answers = {
        "trends": TRENDS_ANSWER,
        "funnels": FUNNEL_ANSWER,
        "retention": RETENTION_ANSWER,
        "lifecycle": LIFECYCLE_ANSWER,
        "stickiness": STICKINESS_ANSWER,
    }
    seen: list[tuple[str, dict[str, Any]]] = []

    def ask(data_dir: Path, tenant: str, kind: str, question: dict[str, Any]) -> Any:
        seen.append((kind, question))
        return answers[kind]

    monkeypatch.setattr(analytics, "_asked", ask)
    return seen


def test_options_become_a_question(asked: list[tuple[str, dict[str, Any]]], tmp_path: Path) -> None:
    file = tmp_path / "question.json"
    file.write_text(json.dumps({"series": [{"event": "A"}], "breakdown": {"limit": 3}}))
    analytics.trends("acme", file=file, days=7, by="plan", zone="Europe/Berlin")
    analytics.funnel("acme", ["A", "B"], window="7d", exclude=["C"], where='{"trait": "a", "op": "exists"}')
    assert asked == [
        (
            "trends",
            {
                "series": [{"event": "A"}],
                "breakdown": {"limit": 3, "property": "plan"},
                "last_days": 7,
                "time_zone": "Europe/Berlin",
            },
        ),
        (
            "funnels",
            {
                "where": {"trait": "a", "op": "exists"},
                "steps": [{"event": "A"}, {"event": "B"}],
                "window_s": 604_800,
                "exclude": [{"event": "C"}],
            },
        ),
    ]


def test_answers_are_tables(asked: list[tuple[str, dict[str, Any]]], capsys: pytest.CaptureFixture[str]) -> None:
    analytics.trends("acme", ["Order Completed"])
    analytics.funnel("acme", ["A", "B"])
    analytics.retention("acme")
    analytics.lifecycle("acme")
    analytics.stickiness("acme")
    shown = capsys.readouterr().out
    for part in ("(others)", "12.5%", "36.2%", "resurrecting", "2026-01-31"):
        assert part in shown


def test_a_bar_is_as_long_as_its_part() -> None:
    assert [len(bar(part, 100)) for part in (100, 50, 0)] == [20, 10, 0]
    assert bar(None, 100) == bar(1, 0) == ""
    assert bar(0.6, 100) == "▏"
