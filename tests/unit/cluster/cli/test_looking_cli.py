"""`whisperer channel state` and `whisperer report --quality`, against a server that is played."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from cluster.cli import channel, entry, exit_codes, report
from serve_apps.gateway.routes.channels import COUNTED, DOING
from serve_apps.gateway.routes.examples import QUALITY


class Played:
    """The server: it answers with the API's own examples."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, ...], Any] = {
            ("channels", "email", "state"): DOING,
            ("channels", "email", "deliveries"): COUNTED,
            ("campaigns", "welcome", "report", "quality"): QUALITY,
        }

    def __call__(self, *_: Any) -> Played:
        return self

    def __enter__(self) -> Played:
        return self

    def __exit__(self, *_: object) -> None: ...

    def get(self, *path: str) -> Any:
        assert path[:2] == ("tenants", "acme")
        return self.answers[path[2:]]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Played:
    played = Played()
    for module in (channel, report):
        monkeypatch.setattr(module, "Operator", played)
    monkeypatch.setenv("COLUMNS", "300")
    return played


def run(*args: str) -> int:
    sys.argv = ["whisperer", *args, "--tenant", "acme"]
    with pytest.raises(SystemExit) as ended:
        entry.main()
    return int(ended.value.code or 0)


def test_a_channel_says_how_its_accounts_do_and_what_became_of_messages(
    server: Played, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("channel", "state", "email") == 0
    shown = capsys.readouterr()
    for part in (
        "open since 2026-01-31T09:00:00.000Z, 4 s",
        "12.3 of 50; day 3 of 10, 120 of 500",
        "no connection: the connection was refused",
    ):
        assert part in shown.out, part
    assert "Messages of 30 days: 12000 accepted, 40 bounced, 5 dead, 7 refused" in shown.out + shown.err
    assert run("channel", "state", "email", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {**DOING, "deliveries": COUNTED}


def test_a_gateway_of_the_release_before_is_understood(server: Played, capsys: pytest.CaptureFixture[str]) -> None:
    [account] = DOING["accounts"]
    new = ("breaker_since", "per_second", "per_second_lately", "warm_up", "taken_over")
    old = {name: value for name, value in account.items() if name not in new}
    server.answers["channels", "email", "state"] = {**DOING, "accounts": [old]}
    assert run("channel", "state", "email") == 0
    assert "open, 4 s" in capsys.readouterr().out


def test_a_campaign_says_how_good_its_messages_were(server: Played, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("report", "welcome", "--quality") == 0
    shown = capsys.readouterr()
    [row] = [line.split() for line in shown.out.splitlines() if "tips" in line]
    assert row == ["tips", "email", "de", "1,200", "4.61", "4.72", "readability", "0.71"]
    assert "Mean 4.61 of 5, calibrated 4.72, of 1200 scored messages" in shown.out + shown.err
    assert run("report", "welcome", "--quality", "--json") == 0
    assert json.loads(capsys.readouterr().out) == QUALITY
    empty = {**QUALITY, "scored": 0, "mean": None, "calibrated": None, "arms": []}
    server.answers["campaigns", "welcome", "report", "quality"] = empty
    assert run("report", "welcome", "--quality") == 0
    shown = capsys.readouterr()
    assert "No scored message was sent in 90 days." in shown.out + shown.err
    assert run("report", "welcome", "--quality", "--days") == exit_codes.USAGE
