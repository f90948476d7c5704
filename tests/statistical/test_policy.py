"""The policy does what it says: propensities are frequencies, and it earns more than what it competes with.

The stream has heterogeneous effects, hidden tastes, drift, and rewards that come late and are replaced. Tolerances are
stated; seeds are fixed, so that a failure is a change of the code.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from tests.statistical.effects_stream import ARMS, Ours, Stream, draw, play, regret
from tests.unit.whisperer.decisions.making import KEY, candidates, learned
from whisperer.decisions.decision import Choice
from whisperer.decisions.posterior import posterior
from whisperer.decisions.thompson import choose
from whisperer.vocabulary.groups import Group

N, DAYS = 12_000, 28.0
SEEDS = (1, 2)


@pytest.fixture(scope="module")
def made() -> list[Choice]:
    policies = {
        KEY: posterior(learned({"no_send": 0.24, "mail": 0.27, "sms": 0.25}, 60), 1)
    }  # arms that are hard to tell apart
    return choose(candidates(20_000), policies)


def test_logged_propensities_are_the_frequencies_of_arms(made: list[Choice]) -> None:
    """Calibration: among decisions where an arm had probability about p, it was taken in about p of them."""
    p = np.array([choice.propensities for choice in made])
    taken = np.array([[arm == choice.arm for arm in choice.arms] for choice in made])
    edges = np.quantile(p, np.linspace(0, 1, 11))
    for low, high in pairwise(edges):
        here = (p >= low) & (p <= high)
        expected, error = p[here].mean(), np.sqrt((p[here] * (1 - p[here])).sum()) / here.sum()
        assert taken[here].mean() == pytest.approx(expected, abs=4 * error)


def test_weights_by_the_logged_propensities_average_to_one(made: list[Choice]) -> None:
    """The identity that off-policy evaluation rests on: E[1(arm = a) / p(a)] = 1 for every arm."""
    for at, arm in enumerate(made[0].arms):
        weights = np.array([(choice.arm == arm) / choice.propensities[at] for choice in made])
        assert weights.mean() == pytest.approx(1, abs=4 * weights.std() / np.sqrt(len(made)))


def test_what_is_drawn_says_nothing_about_what_is_sampled(made: list[Choice]) -> None:
    """The draws that make p and the number that samples from it are independent."""
    vectors = np.array([choice.propensities for choice in made])
    arm = int(vectors.std(axis=0).argmax())  # one whose p tells users apart
    p = vectors[:, arm]
    hit = np.array([choice.arms.index(choice.arm) == arm for choice in made])
    assert p.std() > 0.01
    assert hit.mean() == pytest.approx(p.mean(), abs=0.015)
    lean = np.corrcoef(hit - p, p)[0, 1]
    assert abs(lean) < 4 / np.sqrt(len(p))


@pytest.fixture(scope="module")
def streams() -> dict[int, tuple[Stream, np.ndarray, Ours]]:
    played = {}
    for seed in SEEDS:
        stream = draw(seed, N, DAYS)
        player = Ours(stream, seed)
        played[seed] = (stream, play(stream, player), player)
    return played


@pytest.mark.parametrize("seed", SEEDS)
def test_the_policy_beats_uniform_and_the_best_single_arm(
    streams: dict[int, tuple[Stream, np.ndarray, Ours]], seed: int
) -> None:
    """Over the whole stream, learning included, in expected reward: at least 1.3 times the best single arm."""
    stream, taken, _ = streams[seed]
    ours = stream.value[np.arange(N), taken].mean()
    uniform = stream.value.mean()
    single = stream.value.mean(axis=0).max()
    assert ours > 1.3 * single > 1.3 * uniform
    # and in what was really paid, which has noise of its own
    paid = stream.earned[np.arange(N), taken].mean()
    assert paid > 1.2 * stream.earned[:, stream.best_single_arm()].mean()


@pytest.mark.parametrize("seed", SEEDS)
def test_regret_grows_ever_more_slowly(streams: dict[int, tuple[Stream, np.ndarray, Ours]], seed: int) -> None:
    stream, taken, _ = streams[seed]
    lost = regret(stream, taken)
    first, last = lost[N // 4], lost[-1] - lost[-N // 4]
    assert last < 0.65 * first


@pytest.mark.parametrize("seed", SEEDS)
def test_every_decision_counts_once_in_what_was_learned(
    streams: dict[int, tuple[Stream, np.ndarray, Ours]], seed: int
) -> None:
    """Without forgetting: as many as had a final or an early reward, and the sum is what they were paid."""
    stream, taken, player = streams[seed]
    fates = player.ledger.fates
    n_decisions = fates["learned"]
    assert n_decisions > N - 2 * stream.batch
    assert fates["replaced"] == n_decisions - player.ledger.n_early
    statistics = player.ledger.statistics["tenant", "campaign"]
    rows = np.arange(n_decisions)
    weight = statistics.discount_per_day ** (statistics.day - (20_000 + np.floor(stream.day[rows])))
    assert sum(arm.n for arm in statistics.arms.values()) == pytest.approx(weight.sum())
    mature = rows < n_decisions - player.ledger.n_early
    reward = np.where(mature, stream.earned[rows, taken[rows]], stream.early[rows, taken[rows]])
    assert sum(arm.moment[0] for arm in statistics.arms.values()) == pytest.approx((weight * reward).sum(), abs=1e-3)


def test_a_group_that_does_not_learn_gains_nothing() -> None:
    """The test of the test: uniform choices through the same machinery earn what uniform is worth."""
    stream = draw(3, 4_000, DAYS)
    taken = play(stream, Ours(stream, 3, group=Group.UNIFORM))
    assert stream.value[np.arange(4_000), taken].mean() == pytest.approx(stream.value.mean(), abs=0.005)
    assert np.bincount(taken, minlength=len(ARMS)) == pytest.approx([800] * 5, abs=110)


def test_where_arms_do_not_differ_for_anyone_the_policy_does_no_harm() -> None:
    stream = draw(4, 6_000, DAYS)
    flat = np.tile(stream.early[:, :1] * 0 + (np.random.default_rng(4).random((6_000, 1)) < 0.1), (1, len(ARMS)))
    alike = Stream(stream.features, stream.day, np.full_like(stream.value, 0.1), flat, flat, stream.batch)
    taken = play(alike, Ours(alike, 4))
    assert np.bincount(taken, minlength=len(ARMS)).min() > 6_000 * 0.05
