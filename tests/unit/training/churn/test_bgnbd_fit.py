# ruff: noqa: N806 (T, as in the papers)
from __future__ import annotations

import numpy as np
import pytest

from tests.support.stand import SHARED
from tests.unit.whisperer.profiles.test_bgnbd import simulated
from training.churn.bgnbd_fit import NotFittedError, fit_bgnbd
from whisperer.profiles.bgnbd import BgNbd, log_likelihood

SAMPLE = SHARED / "data" / "cdnow" / "CDNOW_sample.txt.gz"


def histories_of_the_sample() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x, t_x and T in weeks at the end of September 1997, as the paper counts them: days with a purchase."""
    text = np.loadtxt(SAMPLE, dtype=str)
    iso = [f"{day[:4]}-{day[4:6]}-{day[6:]}" for day in text[:, 2]]
    day = (np.array(iso, "datetime64[D]") - np.datetime64("1997-01-01")).astype(int)
    pairs = np.unique(np.column_stack([text[:, 1].astype(int), day])[day < 273], axis=0)
    _, first, n = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    began, last = pairs[first, 1], pairs[first + n - 1, 1]
    return n - 1, (last - began) / 7, (272 - began) / 7


@pytest.mark.skipif(not SAMPLE.exists(), reason="the CDNOW sample is not on this machine")
def test_the_published_parameters_of_cdnow_are_reproduced() -> None:
    history = histories_of_the_sample()
    fitted = fit_bgnbd(*history)
    assert (fitted.r, fitted.alpha, fitted.a, fitted.b) == pytest.approx((0.243, 4.414, 0.793, 2.426), abs=6e-4)
    assert log_likelihood(fitted, *history).sum() == pytest.approx(-9582.4, abs=0.05)


@pytest.mark.parametrize("unit", [1.0, 7.0])
def test_parameters_that_made_histories_are_found_again_in_any_unit(unit: float) -> None:
    truth = BgNbd(r=0.6, alpha=5.0, a=0.9, b=2.5)
    x, t_x, T, _ = simulated(truth, 40_000, until=52, ahead=0)
    fitted = fit_bgnbd(x, t_x * unit, T * unit)
    assert (fitted.r, fitted.alpha / unit, fitted.a, fitted.b) == pytest.approx((0.6, 5.0, 0.9, 2.5), rel=0.08)


def test_the_order_of_customers_makes_no_difference() -> None:
    x, t_x, T, _ = simulated(BgNbd(0.6, 5.0, 0.9, 2.5), 500, until=52, ahead=0)
    assert fit_bgnbd(x, t_x, T) == fit_bgnbd(x[::-1], t_x[::-1], T[::-1])


def test_nothing_is_fitted_where_nobody_came_back() -> None:
    with pytest.raises(NotFittedError, match="nobody"):
        fit_bgnbd(np.zeros(50), np.zeros(50), np.full(50, 9.0))
