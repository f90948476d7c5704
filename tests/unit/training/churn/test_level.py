from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="the extra `training` is not installed")

from training.churn.level import at_level, halfway

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


def test_halfway_is_as_far_from_either_level_in_log_odds_and_nobody_changes_place() -> None:
    p = np.random.default_rng(0).uniform(0.05, 0.95, 2_000)
    own, prior = at_level(p, 0.6), at_level(p[::-1].copy(), 0.25)
    found = halfway(own, prior)
    odds = [level / (1 - level) for level in (0.6, found.mean(), 0.25)]
    assert odds[0] / odds[1] == pytest.approx(odds[1] / odds[2])
    assert (np.argsort(found) == np.argsort(p)).all()
    assert halfway(own, own[::-1]) == pytest.approx(own)
