from __future__ import annotations

import gzip
import json
from pathlib import Path

import duckdb
import numpy as np
import pytest

from tests.benchmarks.tables import t3, t4
from tests.benchmarks.tables.starbucks_waves import WAVES, Waves, read
from training.uplift.trial import Trial

OFFERS = [
    {"id": f"o{k}", "offer_type": kind, "channels": ["email", "web"], "reward": reward, "difficulty": 10, "duration": 5}
    for k, (kind, reward) in enumerate([("bogo", 10), ("discount", 2), ("informational", 0)] * 3 + [("bogo", 5)])
]
Row = tuple[str, str, int, str | None, float | None, float | None]
LIFE: list[Row] = [
    ("ada", "offer received", 168, "o1", None, None),
    ("ada", "transaction", 100, None, 20.0, None),
    ("ada", "transaction", 169, None, 30.0, None),
    ("ada", "offer completed", 170, "o1", None, 2.0),
    ("ada", "transaction", 240, None, 5.0, None),
    ("ada", "transaction", 241, None, 7.0, None),
    ("bob", "transaction", 400, None, 500.0, None),
]


NOTHING: list[Row] = [("bob", "nothing", 0, None, None, None)]


def wave_file(folder: Path, rows: list[Row]) -> Waves:
    folder.mkdir()
    people = [
        {"id": i, "age": 118, "income": None, "gender": None, "became_member_on": 20170101} for i in ("ada", "bob")
    ]
    for name, lines in (("profile", people), ("portfolio", OFFERS)):
        with gzip.open(folder / f"{name}.json.gz", "wt") as file:
            file.write("\n".join(json.dumps(line) for line in lines))
    duckdb.sql(
        "create or replace temp table life "
        "(person varchar, event varchar, time smallint, offer_id varchar, amount double, reward double)"
    )
    duckdb.executemany("insert into life values (?, ?, ?, ?, ?, ?)", rows)
    duckdb.sql("from life").write_parquet(str(folder / "transcript.parquet"))
    return read(folder)


def test_a_reward_is_what_was_spent_within_72_hours_less_what_was_paid_out_and_capped(tmp_path: Path) -> None:
    waves = wave_file(tmp_path / "file", LIFE)
    ada, bob = waves.person == 0, waves.person == 1
    assert waves.reward[ada].tolist() == [0.0, 33.0, 0.0, 0.0, 0.0, 0.0]  # 30 + 5 - 2: hour 240 is in, 241 is out
    assert waves.reward[bob].tolist() == [0.0, 0.0, 100.0, 0.0, 0.0, 0.0]
    assert waves.action[ada].tolist() == [0, 2, 0, 0, 0, 0]


@pytest.mark.parametrize("wave", WAVES)
def test_nothing_from_a_waves_hour_on_reaches_its_features(tmp_path: Path, wave: int) -> None:
    whole = wave_file(tmp_path / "whole", LIFE)
    past = wave_file(tmp_path / "past", [row for row in LIFE if row[2] < wave] or NOTHING)
    at = whole.hour == wave
    np.testing.assert_array_equal(whole.x[at], past.x[at])


def test_a_budget_goes_to_those_of_whom_most_is_expected_wave_by_wave() -> None:
    gain = np.array([*range(10), *range(100, 110)], float)
    hour = np.repeat([0, 168], 10)
    sent = t3.spent(np.column_stack([np.zeros(20), gain]), np.ones(20, np.int64), hour)
    assert np.flatnonzero(sent).tolist() == [7, 8, 9, 17, 18, 19]


def test_a_threshold_sends_as_long_as_it_earns() -> None:
    # By score: a treated buyer, a treated one who bought nothing, two untreated buyers.
    trial = Trial(np.zeros((4, 1)), [1, 1, 0, 0], [1.0, 0.0, 1.0, 1.0], [0.5, 0.5])
    np.testing.assert_allclose(t4.worth(trial), [9.85, -0.15, -10, -10])
    assert t4.threshold(np.array([0.9, 0.5, 0.3, 0.1]), trial) == pytest.approx(0.7)
    assert t4.threshold(np.array([0.1, 0.2, 0.8, 0.9]), trial) == np.inf
