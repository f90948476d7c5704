from __future__ import annotations

import numpy as np
import pytest

from tests.unit.training.uplift.making import a_binary_trial, a_trial, effects_of
from training.uplift.bases import Boosted, Forest, Logit, Ridge
from training.uplift.learners import DR, Average, Learner, Related, S, T, X, expected, scores
from training.uplift.trial import Trial, TrialError

TREES = Boosted(rounds=40, eta=0.2)
LEARNERS: dict[str, Learner] = {
    "s over trees": S(TREES),
    "t over ridge": T(Ridge(1.0)),
    "t over trees": T(TREES),
    "x over ridge": X(Ridge(1.0), Ridge(1.0)),
    "x over trees": X(TREES, Ridge(1.0)),
    "dr over ridge": DR(Ridge(1.0), Ridge(1.0)),
    "dr over trees": DR(TREES, TREES),
}
ASKED = np.random.default_rng(9).normal(size=(500, 3))


@pytest.mark.parametrize("name", LEARNERS)
def test_every_learner_finds_the_effects_of_each_arm(name: str) -> None:
    found = LEARNERS[name].fit(a_trial()).effects(ASKED)
    truth = effects_of(ASKED)
    assert found.shape == truth.shape
    assert (found[:, 0] == 0).all()
    assert np.corrcoef(found[:, 1], truth[:, 1])[0, 1] > 0.85
    assert abs(found[:, 2].mean() - 0.4) < 0.25
    assert np.sqrt(((found - truth) ** 2).mean()) < 0.6 * np.sqrt((truth**2).mean())


@pytest.mark.parametrize("base", [Logit(1.0), Ridge(1.0), Boosted("binary:logistic", rounds=60)])
def test_effects_on_yes_or_no_are_differences_of_probabilities(base: Logit | Ridge | Boosted) -> None:
    found = T(base).fit(a_binary_trial()).effects(np.array([[1.5, 0.0], [-1.5, 0.0]]))
    assert 0.25 < found[0, 1] < 0.85
    assert abs(found[1, 1]) < 0.3
    assert found[0, 1] - found[1, 1] > 0.25


@pytest.mark.parametrize("name", LEARNERS)
def test_the_same_trial_gives_the_same_effects(name: str) -> None:
    trial = a_trial(400)
    one, other = (LEARNERS[name].fit(trial).effects(ASKED) for _ in range(2))
    np.testing.assert_array_equal(one, other)


def test_related_logits_are_one_line_where_differences_are_forbidden_and_lines_of_their_own_where_free() -> None:
    trial = a_binary_trial()
    asked = np.random.default_rng(3).normal(size=(50, 2))
    alone = T(Logit(1e-3)).fit(trial).effects(asked)
    np.testing.assert_allclose(Related(1e-3, 1e-6).fit(trial).effects(asked), alone, atol=1e-3)
    arms = [term[0][1] for term in Related(1e-3, 1e9).fit(trial).terms]
    np.testing.assert_allclose(arms[0].slope, arms[1].slope, atol=1e-4)
    assert arms[1].level > arms[0].level  # levels are the arms' own all the same


def test_an_arm_nobody_was_given_has_the_slopes_of_the_others() -> None:
    trial = a_binary_trial()
    third = Trial(trial.x, trial.action, trial.reward, np.array([0.5, 0.5, 0.0]))
    lines = [term[0][1] for term in Related().fit(third).terms]
    np.testing.assert_allclose(lines[2].slope, (lines[0].slope + lines[1].slope) / 2, rtol=0.05)


def test_related_logits_refuse_money() -> None:
    with pytest.raises(TrialError, match="0 and 1"):
        Related().fit(a_trial(400))


def test_what_arms_have_in_common_reaches_an_arm_with_few_rows() -> None:
    rng = np.random.default_rng(1)
    n = 4000
    x = rng.normal(size=(n, 1))
    action = rng.choice(3, size=n, p=[0.49, 0.49, 0.02])
    reward = 2.0 * (action > 0) * (x[:, 0] > 0) + rng.normal(size=n)
    likeness = np.array([[0.0], [1.0], [1.0]])
    trial = Trial(x, action, reward, np.array([0.49, 0.49, 0.02]), arm_features=likeness)
    found = S(TREES).fit(trial).effects(np.array([[1.0], [-1.0]]))
    np.testing.assert_array_equal(found[:, 1], found[:, 2])
    assert found[0, 2] - found[1, 2] > 1.2  # the third arm has some 80 rows


def test_first_stage_predictions_do_not_know_the_row() -> None:
    class Parrot:
        """Answers the reward of a row it has seen, and 0 else."""

        def fit(self, x: np.ndarray, y: np.ndarray) -> Parrot:
            self.held = dict(zip(x[:, 0].tolist(), y.tolist(), strict=True))
            return self

        def predict(self, x: np.ndarray) -> np.ndarray:
            return np.array([self.held.get(value, 0.0) for value in x[:, 0].tolist()])

    class Aviary:
        def fit(self, x: np.ndarray, y: np.ndarray) -> Parrot:
            return Parrot().fit(x, y)

    trial = a_trial(300)
    # Both rows of a user look alike, so that either of them would give the other away.
    x = np.repeat(trial.x[::2], 2, axis=0)
    twins = Trial(x, trial.action, trial.reward, trial.propensity, trial.user)
    assert (expected(twins, Aviary()) == 0).all()


def test_scores_average_to_the_value_of_an_arm_even_if_the_model_is_wrong() -> None:
    trial = a_trial(20_000, noise=0.5)
    robust = scores(trial, np.full((20_000, 3), 5.0))
    np.testing.assert_allclose((robust - robust[:, :1]).mean(axis=0), [0, 0, 0.4], atol=0.35)
    better = scores(trial, expected(trial, Ridge(1.0)))
    np.testing.assert_allclose((better - better[:, :1]).mean(axis=0), [0, 0, 0.4], atol=0.06)


def test_scores_are_as_worked_out_by_hand() -> None:
    trial = Trial(np.zeros((2, 1)), [0, 1], [3.0, 8.0], [[0.75, 0.25], [0.5, 0.5]])
    # 1 + (3 - 1) / .75 and 4 + (8 - 4) / .5
    np.testing.assert_allclose(scores(trial, np.array([[1.0, 2.0], [2.0, 4.0]])), [[11 / 3, 2.0], [2.0, 12.0]])


def test_mean_effects_are_the_same_for_everybody() -> None:
    found = Average(Ridge()).fit(a_trial()).effects(ASKED)
    assert (found == found[0]).all()
    assert abs(found[0, 2] - 0.4) < 0.15


def test_an_arm_without_rows_is_refused() -> None:
    trial = a_trial(200)
    with pytest.raises(TrialError, match="absent_arm at 2"):
        T(Ridge()).fit(trial.at(trial.action < 2))


def test_lines_and_trees_take_missing_values_and_columns_that_do_not_vary() -> None:
    rng = np.random.default_rng(2)
    x = np.column_stack([rng.normal(size=500), np.full(500, 7.0), np.full(500, np.nan)])
    y = 3 * x[:, 0]
    x[::5, 0] = np.nan
    for base in (Ridge(1.0), TREES):
        found = base.fit(x, y).predict(np.array([[1.0, 7.0, np.nan], [-1.0, 9.0, 1.0]]))
        assert found[0] - found[1] > 3


def test_the_tweedie_loss_is_never_negative() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(500, 1))
    found = Boosted("reg:tweedie", rounds=20).fit(x, np.exp(x[:, 0]) - 1)
    assert isinstance(found, Forest)
    assert (found.predict(x) > 0).all()
