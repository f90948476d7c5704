from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.whisperer.decisions.making import DAY, raw
from whisperer.decisions.adwin import BLOCK, FEWEST, SAME_SIZE, Adwin
from whisperer.decisions.context import COLUMNS, transform
from whisperer.decisions.drift import (
    ALARM_DAYS,
    FLOOR_IN_ALARM,
    LEARNED,
    WATCHED,
    WINDOW,
    Alarm,
    DriftWatch,
    calibration_slope,
    histograms,
    psi,
    totals,
)
from whisperer.decisions.posterior import FLOOR


def conversions(rate: float, n: int, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(n) < rate).astype(np.float64)


def watched(
    days: range,
    *,
    slope: float = 1.0,
    scale: float = 1.0,
    level: float = 0.0,
    watch: DriftWatch | None = None,
    n: int = 1_000,
    learned: float = LEARNED,
) -> DriftWatch:
    """A watch that saw ``n`` rewards a day whose mean is ``slope`` times what was expected, and ``level``."""
    watch = watch or DriftWatch()
    for day in days:
        rng = np.random.default_rng(day)
        x = transform(scale * raw(n, seed=day))
        expected = 0.1 + 0.05 * x[:, 2]
        reward = level + slope * (expected - 0.1) + 0.1 + 0.3 * rng.normal(size=n)
        watch.see("mail", x, expected, reward, day, learned)
    return watch


@pytest.mark.parametrize("rate", [0.02, 0.3])
def test_a_stationary_stream_hardly_ever_alarms(rate: float) -> None:
    """At most one of 40 streams of 16,000 values."""
    alarmed = sum(Adwin().add(conversions(rate, 16_000, seed)) for seed in range(40))
    assert alarmed <= 1


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1e-3, 1.0, 500.0]))
def test_a_shift_of_a_third_of_the_noise_is_seen_within_1500_values_in_any_unit(seed: int, unit: float) -> None:
    rng = np.random.default_rng(seed)
    found = Adwin()
    found.add(unit * rng.normal(size=5_000).clip(-3, 3))
    assert any(found.add(unit * (0.34 + rng.normal(size=BLOCK).clip(-3, 3))) for _ in range(1_500 // BLOCK))
    assert found.n < 6_000  # and what was before it is dropped


@given(st.lists(st.floats(-10, 10), max_size=400), st.integers(1, 50))
def test_the_window_does_not_depend_on_batches_as_long_as_the_range_is_known(values: list[float], size: int) -> None:
    every = np.array([-10.0, 10.0, *values])
    once, parts = Adwin(), Adwin(least=-10.0, most=10.0)
    once.add(every)
    for at in range(0, len(every), size):
        parts.add(every[at : at + size])
    assert msgspec.json.encode(once) == msgspec.json.encode(parts)


def test_buckets_hold_every_value_and_stay_few() -> None:
    values = np.random.default_rng(1).normal(size=50_000)
    found = Adwin()
    found.add(values)
    held = found.n + len(found.rest)
    assert held == 50_000
    counts, means, squares = np.array(found.buckets).T
    kept = values[: found.n]
    assert counts @ means == pytest.approx(kept.sum())
    spread = squares.sum() + counts @ (means - kept.mean()) ** 2
    assert spread == pytest.approx(((kept - kept.mean()) ** 2).sum())
    assert len(found.buckets) <= (SAME_SIZE + 1) * math.log2(50_000 / BLOCK)


def test_river_s_detector_alarms_in_the_same_places() -> None:
    river = pytest.importorskip("river.drift", reason="river is not installed")
    values = np.concatenate([conversions(rate, 4_000, at) for at, rate in enumerate((0.1, 0.2, 0.05))])
    theirs, ours, alarms, alarms_of_ours = river.ADWIN(clock=BLOCK), Adwin(least=0.0, most=1.0), [], []
    for at in range(0, len(values), BLOCK):
        for value in values[at : at + BLOCK]:
            theirs.update(value)
            if theirs.drift_detected:
                alarms.append(at)
        if ours.add(values[at : at + BLOCK]):
            alarms_of_ours.append(at)
    first = [next(at for at in found if at >= start) for found in (alarms, alarms_of_ours) for start in (4_000, 8_000)]
    assert first[:2] == pytest.approx(first[2:], abs=FEWEST * BLOCK)


def test_nothing_is_alarming_about_a_world_that_stays() -> None:
    watch = watched(range(DAY, DAY + 20))
    assert (watch.alarms, watch.floor(DAY + 20)) == ({}, FLOOR)


def test_rewards_that_change_their_level_alarm_and_the_alarm_ends() -> None:
    watch = watched(range(DAY, DAY + 5))
    watched(range(DAY + 5, DAY + 7), level=0.15, watch=watch)
    assert watch.alarms[Alarm.RESIDUALS] >= 1
    assert watch.floor(watch.until - 1) == FLOOR_IN_ALARM
    assert DAY + 5 + ALARM_DAYS <= watch.until <= DAY + 6 + ALARM_DAYS
    assert watch.floor(watch.until) == FLOOR


def test_other_users_than_before_alarm_once() -> None:
    watch = watched(range(DAY, DAY + 4))
    watched(range(DAY + 4, DAY + 14), scale=0.1, watch=watch)
    # A window that began before the change and ended after it may be told apart from both.
    assert 1 <= watch.alarms[Alarm.FEATURES] <= 2


def test_expectations_that_no_longer_order_rewards_alarm() -> None:
    watch = watched(range(DAY, DAY + 4))
    assert Alarm.CALIBRATION not in watch.alarms
    assert watched(range(DAY + 4, DAY + 10), slope=-1.0, watch=watch).alarms[Alarm.CALIBRATION] >= 1


def test_an_arm_that_is_still_learned_cannot_drift() -> None:
    watch = watched(range(DAY, DAY + 6), learned=LEARNED - 1)
    watched(range(DAY + 6, DAY + 9), level=1.0, slope=-1.0, watch=watch, learned=LEARNED - 1)
    assert watch.alarms == {}


def test_the_rhythm_of_a_day_is_no_drift() -> None:
    assert not any(COLUMNS[at].startswith(("hour", "weekday")) for at in WATCHED)
    watch = DriftWatch()
    x = transform(raw(WINDOW + 1))
    zeros = np.zeros(len(x))
    watch.see("mail", x, zeros, zeros, DAY, 0.0)
    watch.see("mail", x, zeros, zeros, DAY, 0.0)
    assert watch.reference == []  # the day is not over
    watch.see("mail", x, zeros, zeros, DAY + 1, 0.0)
    assert (np.array(watch.reference) == 2 * histograms(x)).all()


def test_a_state_that_was_stored_goes_on_as_if_it_never_had_been() -> None:
    watch = watched(range(DAY, DAY + 4))
    again = msgspec.msgpack.decode(msgspec.msgpack.encode(watch), type=DriftWatch)
    for one in (watch, again):
        watched(range(DAY + 4, DAY + 8), level=0.2, watch=one)
    assert msgspec.msgpack.encode(again) == msgspec.msgpack.encode(watch)
    assert totals([watch, again, DriftWatch()])[Alarm.RESIDUALS] == 2 * watch.alarms[Alarm.RESIDUALS]


def test_the_index_is_what_is_worked_out_by_hand() -> None:
    was, now = np.array([9.5, 29.5]), np.array([19.5, 19.5])
    expected = (0.5 - 0.25) * math.log(0.5 / (10 / 40)) + (0.5 - 0.75) * math.log(0.5 / 0.75)
    assert psi(was, now) == pytest.approx(expected, rel=1e-3)


def test_the_slope_of_calibration_is_that_of_least_squares() -> None:
    e = np.array([0.1, 0.2, 0.4, 0.3])
    r = np.array([0.0, 0.5, 0.7, 0.4])
    slope, error = calibration_slope(4, e.sum(), r.sum(), e @ e, e @ r, r @ r)
    fitted, residue, *_ = np.polyfit(e, r, 1, full=True)
    assert slope == pytest.approx(fitted[0])
    assert error == pytest.approx(math.sqrt(residue[0] / 2 / ((e - e.mean()) ** 2).sum()))
    assert calibration_slope(5, 5, 1, 5, 1, 1) == (1.0, math.inf)
