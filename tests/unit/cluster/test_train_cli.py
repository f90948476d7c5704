"""`whisperer train`: what it starts, where, and with which warehouse and store."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cluster.cli import train
from cluster.cli.app import app
from cluster.launch.installation import Installation


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[str]]]:
    """(how, arguments) of each run that was asked for."""
    runs: list[tuple[str, list[str]]] = []

    def run(arguments: list[str], environment: dict[str, str]) -> int:
        runs.append((environment.get("RAY_ADDRESS", ""), arguments))
        return 0

    def submit(installation: Installation, arguments: list[str]) -> int:
        runs.append((installation.dashboard_url, arguments))
        return 0

    monkeypatch.setattr(train, "_run", run)
    monkeypatch.setattr(train, "_submit", submit)
    return runs


def whisperer(*arguments: str) -> int:
    return CliRunner().invoke(app, ["train", *arguments]).exit_code


def option(arguments: list[str], name: str) -> str:
    return arguments[arguments.index(name) + 1]


def test_where_nothing_runs_a_run_has_a_ray_of_its_own(started: list[tuple[str, list[str]]], tmp_path: Path) -> None:
    rows, var = str(tmp_path / "rows.parquet"), str(tmp_path / "var")
    assert whisperer("churn", "--rows", rows, "-d", var, "--trials", "5", "--json") == 0
    ((address, arguments),) = started
    assert (address, "--local" in arguments, "--json" in arguments) == ("", True, True)
    assert option(arguments, "--rows") == rows
    assert option(arguments, "--out") == str(tmp_path / "var" / "training" / "churn")
    assert option(arguments, "--trials") == "5"


def test_a_running_installation_lends_its_cluster_or_takes_a_job(
    started: list[tuple[str, list[str]]], configured: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Installation, "running", property(lambda _: True))
    told = ("value", "--rows", "s3://bucket/rows", "-d", configured.data_dir)
    assert whisperer(*told) == whisperer(*told, "--on", "job") == whisperer(*told, "--on", "local") == 0
    assert [how for how, _ in started] == [configured.ray_address, configured.dashboard_url, ""]
    assert ["--local" in arguments for _, arguments in started] == [False, False, True]
    assert option(started[0][1], "--rows") == "s3://bucket/rows"


def test_a_tenants_run_gets_its_warehouse_and_its_store(
    started: list[tuple[str, list[str]]], configured: Installation
) -> None:
    var = Path(configured.data_dir)
    assert CliRunner().invoke(app, ["tenant", "create", "acme", "-d", str(var)]).exit_code == 0
    assert whisperer("uplift", "--tenant", "acme", "--campaign", "offers", "-d", str(var)) == 0
    ((_, arguments),) = started
    assert option(arguments, "--warehouse") == (var / "warehouse").as_uri()
    assert option(arguments, "--store") == (var / "models").as_uri()
    assert option(arguments, "--tenant") not in ("acme", "")
    assert option(arguments, "--campaign") == "offers"


def test_rows_or_a_tenant_are_needed_and_not_both(started: list[tuple[str, list[str]]]) -> None:
    assert whisperer("churn") == whisperer("churn", "--rows", "r", "--tenant", "acme") == 2
    assert whisperer("clustering", "--rows", "r") == 2
    assert not started


def test_what_training_needs_and_is_not_installed_is_named(
    started: list[tuple[str, list[str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "_NEEDED", ("xgboost", "no_such_package"))
    done = CliRunner().invoke(app, ["train", "churn", "--rows", "r"])
    assert done.exit_code == 1
    assert "training needs no_such_package: pip install" in done.stderr
    assert not started
