"""Lives of more than the ring's 90 days, out of shards' states; and the paper's parameters out of such lives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.shard_world import DAY, TENANT, World, event
from tests.support.stand import SHARED
from tests.unit.training.rows.test_replay import exported
from training.churn.bgnbd_fit import fit_bgnbd
from training.rows.blocks import stored_events
from training.rows.lifetimes import Lifetimes, lifetimes

SAMPLE = SHARED / "data" / "cdnow" / "CDNOW_sample.txt.gz"
NEW_YEAR_1997 = 9_862
CALIBRATION_DAYS = 273


def lived(happened: list[tuple[int, dict[str, str]]], until_day: int, folder: Path) -> Lifetimes:
    """Days since 1970 and what was sent on each, through live shards and the warehouse."""
    world = World()
    for start in range(0, len(happened), 500):
        batch = happened[start : start + 500]
        world.now = batch[-1][0] * DAY + 5
        world.send(*(event(at=day * DAY + 5, name="Bought", **who) for day, who in batch))
        world.deliver()
    return lifetimes(stored_events(exported(world, folder), TENANT, "timestamp"), TENANT, until_day * DAY)


@pytest.mark.skipif(not SAMPLE.exists(), reason="the CDNOW sample is not on this machine")
def test_bgnbd_fitted_to_what_shards_know_has_the_published_parameters_of_cdnow(
    tmp_path: Path,
) -> None:
    text = np.loadtxt(SAMPLE, dtype=str)
    iso = [f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in text[:, 2]]
    days = np.array(iso, "datetime64[D]").astype(int).tolist()
    bought = sorted(zip(days, text[:, 1].tolist(), strict=True))
    lives = lived([(day, {"user": customer}) for day, customer in bought], NEW_YEAR_1997 + CALIBRATION_DAYS, tmp_path)
    assert len(lives.keys) == 2_357
    assert lives.x.sum() == 2_457  # repeat purchases of weeks 1 to 39, as the paper counts them
    fitted = fit_bgnbd(lives.x, lives.t_x, lives.T)
    assert (fitted.r, fitted.alpha, fitted.a, fitted.b) == pytest.approx((0.243, 4.414, 0.793, 2.426), abs=6e-4)


def test_a_life_adds_up_over_windows_merges_and_years_of_silence(tmp_path: Path) -> None:
    ann, tab, bob = {"user": "ann"}, {"anonymous": "tab"}, {"user": "bob"}
    happened = [(d, ann) for d in (10_000, 10_001, 10_089, 10_090, 10_500)] + [(d, bob) for d in (10_050, 10_700)]
    happened += [(10_020, tab), (10_300, tab), (10_501, {**ann, **tab}), (10_502, tab)]
    lives = lived(sorted(happened, key=lambda one: one[0]), 10_700, tmp_path)
    weeks = np.stack([lives.t_x, lives.T]) * 7
    found = dict(zip(lives.keys, zip(lives.x, *weeks.round(9), strict=True), strict=True))
    assert found == {"u:ann": (8, 502, 699), "u:bob": (0, 0, 649)}  # the day asked about is not over


def test_a_day_of_two_who_were_one_is_not_more_than_the_days_there_were(tmp_path: Path) -> None:
    happened = [
        (10_000, {"user": "ann"}),
        (10_000, {"anonymous": "tab"}),
        (10_200, {"user": "ann", "anonymous": "tab"}),
    ]
    lives = lived(happened, 10_001, tmp_path)
    assert sorted(zip(lives.keys, lives.x, strict=True)) == [("a:tab", 0), ("u:ann", 0)]
    (joined,) = lived(happened, 10_300, tmp_path / "later").x
    assert joined == 2  # counted twice before anybody knew
