"""The replay counts matched rows only, and tells a learner nothing of the others."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.bandits import Floats, Rows
from tests.benchmarks.tables import t2_replay
from tests.benchmarks.tables.t2_replay import ARMS, MENS, read, replay, run

HEADER = "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,conversion,spend"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """1,500 rows in which Mens is visited after in two of three cases, the others in one of ten."""
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(1_500):
        arm = int(rng.integers(3))
        visit = int(rng.random() < (0.67 if arm == MENS else 0.1))
        rows.append(f"{rng.integers(1, 12)},x,{rng.uniform(30, 900):.2f},1,0,Urban,0,Web,{ARMS[arm]},{visit},0,0")
    (tmp_path / "hillstrom").mkdir()
    with gzip.open(tmp_path / "hillstrom" / "hillstrom.csv.gz", "wt") as file:
        file.write("\n".join([HEADER, *rows]) + "\n")
    return tmp_path


class Recorder:
    def __init__(self) -> None:
        self.learned: list[int] = []

    def decide(self, x: Floats) -> tuple[Rows, Floats]:
        return np.ones(len(x), np.int64), np.ones(len(x))

    def learn(self, x: Floats, taken: Rows, p: Floats, reward: Floats) -> None:
        self.learned += x[:, 0].astype(int).tolist()


def test_only_matched_rows_are_counted_and_shown() -> None:
    x = np.arange(250.0)[:, None]
    sent, visit = np.arange(250) % 3, (np.arange(250) % 6 == 1).astype(np.float64)
    recorder = Recorder()
    mean, curve = replay(recorder, x, sent, visit, np.arange(250))
    assert recorder.learned == [row for row in range(250) if row % 3 == 1]
    assert mean == pytest.approx(0.5, abs=0.01)
    assert curve[:, -1].tolist() == [len(recorder.learned), visit.sum()]


def test_ours_finds_the_arm_that_earns_and_stands_beside_the_others(data: Path) -> None:
    table = run(data, seeds=3, only="ours,always mens,random")
    ours, random = table["players"]["ours"], table["players"]["random"]
    assert ours["value"] > random["value"] + 0.15
    assert ours["second_half"] > ours["first_half"]
    assert random["interval"][0] > 0
    assert table["players"]["always mens"]["value"] == pytest.approx(0.67, abs=0.05)


def test_the_context_has_a_one_and_no_model_s_score(data: Path) -> None:
    x, sent, visit = read(data)
    assert (x[:, 0] == 1).all()
    assert (x[:, 1] == 0).all()
    assert set(sent) == set(range(len(t2_replay.ARMS)))
    assert set(visit) == {0.0, 1.0}
