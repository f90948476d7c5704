from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tests.unit.whisperer.decisions.making import DAY, KEY, learned, raw
from whisperer.decisions import posterior as module
from whisperer.decisions.context import SCORE, D, transform
from whisperer.decisions.linear import CampaignStatistics, OtherContextError
from whisperer.decisions.posterior import FLOOR, Posterior, _assumed, decode, encode, posterior, prior


def deviation_of(statistics: CampaignStatistics) -> float:
    n, total = (sum(each) for each in zip(*((arm.n, arm.moment[0]) for arm in statistics.arms.values()), strict=True))
    return float(np.sqrt(sum(arm.squares for arm in statistics.arms.values()) / n - (total / n) ** 2))


def by_brute_force(statistics: CampaignStatistics, found: Posterior) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of all coefficients from the joint normal of (common, arm 1, arm 2, ...) at once."""
    n_arms = len(statistics.arms)
    scatter = np.diag(1 / found.scatter)
    precision = np.zeros(((n_arms + 1) * D,) * 2)
    pull = np.zeros((n_arms + 1) * D)
    expected = np.zeros(D)
    expected[SCORE] = deviation_of(statistics)
    pull[:D] = _assumed(D)[0] * expected
    precision[:D, :D] = np.diag(_assumed(D)[0]) + n_arms * scatter
    for at, arm in enumerate(statistics.arms.values(), 1):
        here = slice(at * D, (at + 1) * D)
        precision[here, here] = arm.gram + scatter
        precision[:D, here] = precision[here, :D] = -scatter
        pull[here] = arm.moment
    covariance = np.linalg.inv(precision)
    return covariance @ pull, covariance * found.noise


def test_it_is_the_exact_posterior_of_the_hierarchical_model() -> None:
    """Means are of the arms' coefficients; spreads of what is left of them beside the arms' mean answer to the common."""
    statistics = learned({"no_send": 0.1, "mail": 0.4, "sms": 0.2}, n=60)
    found = posterior(statistics, 1)
    mean, covariance = by_brute_force(statistics, found)
    scatter = np.diag(1 / found.scatter)
    surprise = np.maximum(found.scatter, np.r_[0.1, np.full(D - 1, 0.01)])
    answers = [np.linalg.inv(arm.gram + scatter) @ scatter for arm in statistics.arms.values()]
    for at in range(4):
        arm = np.eye(4 * D)[(at + 1) % 4 * D :][:D]
        assert found.mean[at] == pytest.approx(arm @ mean, abs=1e-8)
        apart = arm.copy()
        apart[:, :D] -= np.mean(answers, axis=0)
        expected = apart @ covariance @ apart.T + (at == 3) * np.diag(surprise) * found.noise
        assert found.root[at] @ found.root[at].T == pytest.approx(expected, abs=1e-8)


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
    assert means[0].mean() < means[1].mean() < 0.3
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


def test_what_all_arms_have_in_common_leaves_no_doubt_which_is_best() -> None:
    """However uncertain the level of all rewards is, arms with the same statistics differ by little."""
    few = learned({"no_send": 0.5, "mail": 0.5}, n=3)
    spread = posterior(few, 1).score(transform(raw(50)), [0])[1]
    noise = posterior(few, 1).noise
    assert (spread**2 < noise * (posterior(few, 1).scatter * transform(raw(50)) ** 2).sum(axis=1) * 1.001).all()


def test_a_model_s_score_is_believed_until_rewards_contradict() -> None:
    x = transform(raw(4))
    scores = np.array([[0.0] * 4, [0.5] * 4])
    fresh, _ = prior().score(x, [0, 0], scores)
    assert fresh[1] - fresh[0] == pytest.approx([0.5] * 4)
    rng = np.random.default_rng(1)
    for truth in (1.0, -1.0):
        statistics = CampaignStatistics()
        for arm in ("no_send", "mail"):
            seen = transform(raw(3_000, seed=4))
            seen[:, SCORE] = rng.normal(size=3_000) if arm == "mail" else 0.0
            reward = 2.0 * truth * seen[:, SCORE] + 0.1 * rng.normal(size=3_000)
            statistics.arm(arm).add(seen, reward, np.ones(3_000))
        means, _ = posterior(statistics, 1).score(x, [0, 1], scores)
        assert means[1] - means[0] == pytest.approx([truth] * 4, abs=0.05)


def test_another_width_of_context_is_as_good() -> None:
    wide = learned({"no_send": 0.1, "mail": 0.4}, n=200)
    narrow = CampaignStatistics(width=5)
    for name, arm in wide.arms.items():
        held = narrow.arm(name)
        held.gram, held.moment, held.n, held.squares = arm.gram[:5, :5], arm.moment[:5], arm.n, arm.squares
    found = posterior(narrow, 1)
    assert found.root.shape == (3, 5, 5)
    means, spreads = found.score(transform(raw(10))[:, :5], found.rows(["no_send", "mail", "new"]))
    assert (means[1] > means[0]).all()
    assert (spreads > 0).all()
    assert prior(5).score(np.ones((2, 5)), [0])[0].shape == (1, 2)


def test_the_floor_travels_and_a_publication_of_an_older_release_has_the_usual_one() -> None:
    found = posterior(learned({"no_send": 0.1, "mail": 0.4}), 5, floor=0.04)
    sent = encode([(KEY, found)])
    assert decode(sent)[KEY].floor == 0.04
    shorter = msgspec.msgpack.encode([msgspec.msgpack.decode(sent)[0][:-1]])
    assert decode(shorter)[KEY].floor == FLOOR
