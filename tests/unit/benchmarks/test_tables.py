"""The tables' dispatcher, and T5 on the public logs where they are."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.benchmarks import bench_decisions
from tests.benchmarks.tables import catalogue, t5
from tests.support.stand import SHARED
from whisperer.evaluation.gate import GateRule, judge
from whisperer.evaluation.overlap import TOO_LITTLE_OVERLAP

LOGS = SHARED / "data" / t5.FOLDER


def test_a_table_is_named_in_either_case_and_t2_has_two_halves() -> None:
    assert catalogue.modules("t5") == {"T5": "t5"}
    assert catalogue.modules("T2") == {"T2a": "t2_uplift", "T2b": "t2_replay"}
    assert catalogue.modules("t2b") == {"T2b": "t2_replay"}
    assert list(catalogue.modules("all")) == ["T1", "T2a", "T2b", "T3", "T4", "T5"]
    for unknown in ("T6", "T", "", "T5a", "al"):
        with pytest.raises(KeyError):
            catalogue.modules(unknown)


def test_options_of_a_table_are_json_or_text() -> None:
    assert catalogue.settings(["worlds=20", "name=men", "x=[1,2]", "y="]) == {
        "worlds": 20,
        "name": "men",
        "x": [1, 2],
        "y": "",
    }
    for bad in ("worlds", "=3", "a-b=3"):
        with pytest.raises(ValueError, match="name=value"):
            catalogue.settings([bad])


def test_a_table_that_fails_is_told_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(t5, "run", lambda data, **options: {"data": str(data), **options})
    wanted = {"T0": "not_there", "T5": "t5"}
    figures, failed = catalogue.run(wanted, tmp_path, {"worlds": 3})
    assert failed == ["T0"]
    assert figures["T0"]["failed"].startswith("ModuleNotFoundError")
    assert (figures["T5"]["data"], figures["T5"]["worlds"]) == (str(tmp_path), 3)
    assert "not_there" in capsys.readouterr().err


def test_the_command_writes_the_figures_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(t5, "run", lambda data, **options: {"gain": 1.5, **options})
    written = tmp_path / "figures.json"
    command = ["bench", "--table", "t5", "--data", str(tmp_path), "--set", "worlds=3", "--json", str(written)]
    monkeypatch.setattr(sys, "argv", command)
    bench_decisions.main()
    document = json.loads(written.read_text())
    assert document["setting"]["tables"] == ["T5"]
    assert {**document["figures"]["T5"], "seconds": 0} == {"gain": 1.5, "worlds": 3, "seconds": 0}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--table", "T9", "--data", "."], "there is no table 'T9'; known: T1, T2, T3, T4, T5, all"),
        (["--table", "T5"], "--table needs --data"),
        (["--table", "T5", "--data", ".", "--set", "worlds"], "name=value"),
    ],
)
def test_a_command_that_cannot_be_run_says_what_is_missing(
    arguments: list[str], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *arguments])
    with pytest.raises(SystemExit):
        bench_decisions.main()
    assert told in capsys.readouterr().err


@pytest.mark.skipif(not LOGS.is_dir(), reason="the Open Bandit data is not here")
def test_the_gate_refuses_to_judge_random_by_the_log_of_thompson_sampling() -> None:
    log, _, n_items = t5.read_log(LOGS, "bts", "women")
    verdict = judge(log, [1 / n_items] * n_items, rule=GateRule(n_resamples=200))
    assert not verdict.promote
    assert verdict.reasons[0].reason == TOO_LITTLE_OVERLAP
    assert verdict.figures.overlap.n_effective < 10


@pytest.mark.skipif(not LOGS.is_dir(), reason="the Open Bandit data is not here")
def test_the_uniform_log_supports_the_average_of_thompson_sampling_and_holds_its_click_rate() -> None:
    figures = t5.open_bandit(LOGS, "men", "random", 200)
    assert figures["n_effective"] > 2_000
    for name in ("snips", "dr", "switch_dr"):
        assert figures["estimates"][name]["holds_published"]
