from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="the extra `training` is not installed")

from training.churn.level import OWN, PRIOR, Levels, at_level

shares = st.floats(0.01, 0.99)


@given(st.lists(shares, min_size=1, max_size=50), shares)
def test_a_level_moves_the_mean_and_nobodys_place(p: list[float], share: float) -> None:
    moved = at_level(np.array(p), share)
    assert moved.mean() == pytest.approx(share, abs=1e-9)
    assert (np.diff(moved[np.argsort(p, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("share", [0.0, 1.0, float("nan")])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="a share"):
        at_level(np.array([0.5]), share)


def test_the_level_that_has_been_better_over_matured_forecasts_is_taken() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0.1, 0.5, 2_000)
    label = rng.random(2_000) < truth
    high, low = at_level(truth, 0.6), at_level(truth, 0.3)
    levels = Levels()
    assert levels.better == OWN
    assert levels.of(high, truth) is high
    levels.matured(high, truth, label)
    assert levels.better == PRIOR
    assert levels.of(high, low).mean() == pytest.approx(0.3)
    for _ in range(3):
        levels.matured(truth, high, label)
    assert levels.better == OWN
