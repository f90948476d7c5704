"""The command line of a run: what it refuses, and what may differ when a run goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.fs as pafs
import pytest

from tests.unit.training.making_rows import churn_table, written
from training import train
from training.gather import COMPLETE, ROWS, Source, cutoffs, gather
from training.request import parse
from training.search import SearchError, Step, Trial, best_of
from whisperer.errors import ConflictError

CHURN = ["--kind", "churn", "--rows", "rows.parquet", "--out", "out"]


@pytest.mark.parametrize(
    "told",
    [
        ["--kind", "churn", "--out", "out"],
        [*CHURN, "--warehouse", "w", "--tenant", "t"],
        ["--kind", "churn", "--warehouse", "w", "--out", "out"],
        [*CHURN, "--store", "s"],
        [*CHURN, "--trials", "0"],
        [*CHURN, "--window-days", "-1"],
        ["--kind", "clustering", "--rows", "r", "--out", "out"],
    ],
)
def test_options_that_do_not_fit_end_with_usage(told: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse(told)
    assert ended.value.code == 2
    assert "usage: python -m training.train" in capsys.readouterr().err


def test_the_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"])
    said = capsys.readouterr().out
    for word in ("examples:", "ray job submit", "--window-days", "RAY_ADDRESS", "docs/training.md"):
        assert word in said


def test_rows_of_a_warehouse_have_the_window_of_their_labels() -> None:
    house = ["--warehouse", "w", "--tenant", "t_1", "--out", "out"]
    assert parse(["--kind", "churn", *house]).window_days == 30
    assert parse(["--kind", "uplift", *house]).window_days == 0
    found = parse(["--kind", "churn", *house, "--window-days", "14", "--goal", "Paid"])
    assert (found.window_days, found.source) == (14, Source("w", "t_1", goal="Paid", window_days=14))


def test_a_run_goes_on_with_other_cores_and_not_with_other_settings(tmp_path: Path) -> None:
    files, folder = pafs.LocalFileSystem(), str(tmp_path)
    train._claim(files, folder, parse([*CHURN, "--features", "a, b", "--at-once", "2"]))
    train._claim(files, folder, parse([*CHURN, "--features", "a,b", "--at-once", "1", "--json", "--local"]))
    with pytest.raises(ConflictError, match=r"other settings \(search, seed\).*--restart"):
        train._claim(files, folder, parse([*CHURN, "--features", "a,b", "--seed", "9"]))


def test_rows_that_cannot_be_used_end_the_run_before_a_cluster_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = written(churn_table(came_back=[True] * 1_000), tmp_path)
    assert train.main(["--kind", "churn", "--rows", rows, "--out", str(tmp_path / "out")]) == 2
    assert "only 0 of 1,000 rows are of users who left" in capsys.readouterr().err
    assert train.main(["--kind", "churn", "--rows", str(tmp_path / "none"), "--out", str(tmp_path / "out2")]) == 2


def test_what_is_done_is_not_done_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = ["--kind", "churn", "--rows", "nowhere", "--out", str(tmp_path), "--json"]
    train._claim(pafs.LocalFileSystem(), str(tmp_path), parse(told))
    (tmp_path / train.RESULT).write_text(json.dumps({"headline": "It learned."}))
    assert train.main(told) == 0
    assert json.loads(capsys.readouterr().out) == {"headline": "It learned."}


def test_the_best_trial_is_the_one_with_the_lowest_loss_at_any_stride() -> None:
    curves = [(0.5, 0.4, 0.6), (), (0.9, 0.3), (0.3,)]
    trials = [
        Trial(number, {}, tuple(Step(10 * at, held, 0.1) for at, held in enumerate(curve, 1)), "", 0.0)
        for number, curve in enumerate(curves, 1)
    ]
    best = best_of(trials)
    assert (best.number, best.best.rounds) == (3, 20)
    assert issubclass(SearchError, Exception)


@pytest.mark.parametrize("days", [59, 60, 61, 100, 365])
def test_a_cutoff_has_a_window_on_both_sides(days: int) -> None:
    day = 86_400_000
    found = cutoffs(0, days * day + 5, 30, 15)
    assert found == sorted(found)
    assert bool(found) == (days >= 60)
    for cutoff in found:
        assert cutoff >= 30 * day
        assert cutoff + 30 * day <= days * day + 5


def test_rows_are_gathered_once(tmp_path: Path) -> None:
    (tmp_path / COMPLETE).write_text("{}")
    place = gather("churn", Source("/nowhere", "t_1"), pafs.LocalFileSystem(), str(tmp_path))
    assert place == f"{tmp_path}/{ROWS}"


def test_a_trial_is_told_in_json_that_any_program_reads() -> None:
    told = Trial(1, {"eta": 0.1}, (Step(10, 0.5, float("nan")),), "", 1.234).told()
    assert json.loads(json.dumps(told, allow_nan=False))["steps"] == [{"rounds": 10, "held": 0.5, "seen": None}]
