from __future__ import annotations

import numpy as np
import pytest

from tests.unit.decisions.making import DAY, KEY, learned, raw
from whisperer.decisions import posterior as module
from whisperer.decisions.context import D, transform
from whisperer.decisions.linear import CampaignStatistics, OtherContextError
from whisperer.decisions.posterior import _PRECISION_0, Posterior, decode, encode, posterior, prior


def by_brute_force(statistics: CampaignStatistics, found: Posterior) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all coefficients from the joint normal of (common, arm 1, arm 2, ...) at once."""
    n_arms = len(statistics.arms)
    scatter = np.diag(1 / found.scatter)
    precision = np.zeros(((n_arms + 1) * D,) * 2)
    pull = np.zeros((n_arms + 1) * D)
    precision[:D, :D] = np.diag(_PRECISION_0) + n_arms * scatter
    for at, arm in enumerate(statistics.arms.values(), 1):
        here = slice(at * D, (at + 1) * D)
        precision[here, here] = arm.gram + scatter
        precision[:D, here] = precision[here, :D] = -scatter
        pull[here] = arm.moment
    covariance = np.linalg.inv(precision)
    return covariance @ pull, covariance * found.noise


def test_it_is_the_exact_posterior_of_the_hierarchical_model() -> None:
    statistics = learned({"no_send": 0.1, "mail": 0.4, "sms": 0.2}, n=60)
    found = posterior(statistics, 1)
    mean, covariance = by_brute_force(statistics, found)
    for at in range(3):
        here = slice((at + 1) * D, (at + 2) * D)
        assert found.mean[at] == pytest.approx(mean[here], abs=1e-8)
        assert found.root[at] @ found.root[at].T == pytest.approx(covariance[here, here], abs=1e-8)
    assert found.mean[3] == pytest.approx(mean[:D], abs=1e-8)
    new_arm = covariance[:D, :D] + np.diag(found.scatter) * found.noise
    assert found.root[3] @ found.root[3].T == pytest.approx(new_arm, abs=1e-8)


def test_scores_are_the_mean_and_deviation_of_the_expected_reward() -> None:
    found = posterior(learned({"no_send": 0.1, "mail": 0.4}), 1)
    x = transform(raw(300))
    means, spreads = found.score(x, [1, 0])
    for row, arm in enumerate([1, 0]):
        covariance = found.root[arm] @ found.root[arm].T
        assert means[row] == pytest.approx(x @ found.mean[arm])
        assert spreads[row] == pytest.approx(np.sqrt(np.einsum("ni,ij,nj->n", x, covariance, x)))


def test_an_arm_with_little_data_is_drawn_to_the_others() -> None:
    statistics = learned({"no_send": 0.1, "mail": 0.1, "sms": 0.1}, n=2_000)
    statistics.arm("new").add(transform(raw(4)), np.array([1.0, 1.0, 0.0, 0.0]), np.ones(4))
    x = transform(raw(100, seed=9))
    means, spreads = posterior(statistics, 1).score(x, [0, 3])
    assert means[0].mean() + 0.02 < means[1].mean() < 0.3
    assert (spreads[1] > spreads[0]).all()


def test_arms_that_do_not_differ_are_hardly_told_apart() -> None:
    alike = posterior(learned({"no_send": 0.2, "mail": 0.2, "sms": 0.2}, n=3_000), 1)
    differ = posterior(learned({"no_send": 0.05, "mail": 0.9, "sms": 0.2}, n=3_000), 1)
    assert alike.scatter[0] < differ.scatter[0]
    assert alike.scatter[1] == module.SLOPES[0]
    means, _ = alike.score(transform(raw(500)), [0, 1, 2])
    assert np.ptp(means, axis=0).mean() < 0.03


def test_the_noise_of_the_rewards_is_found() -> None:
    rng = np.random.default_rng(3)
    x = transform(raw(4_000))
    statistics = CampaignStatistics()
    statistics.arm("mail").add(x, x[:, 5] + 0.5 * rng.normal(size=4_000), np.ones(4_000))
    assert posterior(statistics, 1).noise == pytest.approx(0.25, rel=0.1)


@pytest.mark.parametrize("unit", [1e-3, 250.0])
def test_another_unit_of_reward_scales_everything(unit: float) -> None:
    statistics, scaled = learned({"no_send": 0.1, "mail": 0.4}), learned({"no_send": 0.1, "mail": 0.4})
    for arm in scaled.arms.values():
        arm.moment *= unit
        arm.squares *= unit**2
    one, other = posterior(statistics, 1), posterior(scaled, 1)
    assert other.mean == pytest.approx(one.mean * unit, rel=1e-6)
    assert other.root == pytest.approx(one.root * unit, rel=1e-6, abs=1e-9 * unit)


@pytest.mark.parametrize("reward", [0.0, 1.0, -3.0])
def test_rewards_that_never_vary_are_survived(reward: float) -> None:
    statistics = CampaignStatistics()
    for arm in ("no_send", "mail"):
        statistics.arm(arm).add(transform(raw(50)), np.full(50, reward), np.ones(50))
    found = posterior(statistics, 1)
    means, spreads = found.score(transform(raw(50)), [0, 1])
    assert np.isfinite(found.root).all()
    assert means == pytest.approx(np.full((2, 50), reward), abs=0.2)
    assert (spreads > 0).all()


def test_a_campaign_without_rewards_has_the_prior() -> None:
    assert posterior(CampaignStatistics(), 7).arms == ()
    means, spreads = prior().score(transform(raw(4)), prior().rows(["no_send", "mail"]))
    assert (means == 0).all()
    assert (spreads[0] == spreads[1]).all()
    assert (spreads > 0).all()


def test_what_is_published_is_read_to_the_bit() -> None:
    found = posterior(learned({"no_send": 0.1, "mail": 0.4}), 5)
    again = decode(encode([(KEY, found)]))[KEY]
    assert (again.number, again.arms, again.noise) == (found.number, found.arms, found.noise)
    assert again.mean.tobytes() == found.mean.tobytes()
    assert again.root.tobytes() == found.root.tobytes()
    assert again.scatter.tobytes() == found.scatter.tobytes()


def test_policies_over_another_context_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    data = encode([(KEY, prior())])
    monkeypatch.setattr(module, "CONTEXT_VERSION", module.CONTEXT_VERSION + 1)
    with pytest.raises(OtherContextError):
        decode(data)


def test_old_rewards_leave_the_mean_and_widen_the_spread() -> None:
    statistics = learned({"no_send": 0.1, "mail": 0.4})
    x = transform(raw(50))
    fresh = posterior(statistics, 1).score(x, [1])[1]
    statistics.advance(DAY + 200)
    assert (posterior(statistics, 1).score(x, [1])[1] > fresh).all()
