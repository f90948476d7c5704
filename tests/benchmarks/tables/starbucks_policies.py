"""What the headline table compares: effects of the ten offers by our value model and by everybody else's, on the same rows.

Each function is given training rows and asked rows, and answers the effect of each offer over none, shape
(n, n_arms), or, where a rule has no model, a score by which a budget is spent. Baselines see the same features, and
share the trees' settings with ours where they have trees. Leaves to others: how a budget is spent and what it brings.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.tables.starbucks_waves import Waves
from training.uplift.bases import Boosted, Ridge
from training.uplift.learners import Average, S, T
from training.uplift.mix import Mix, MixReport, fit_mix
from training.uplift.trial import Trial

Array = NDArray[np.float64]

_VW_BITS = 18


def trial(waves: Waves, *, factored: bool) -> Trial:
    """``factored``: offers are described by type, channel, reward, difficulty and duration, and not by name alone."""
    named = np.eye(waves.propensity.shape[1])[:, 1:]
    described = np.hstack([waves.arm_features, named, named.sum(axis=1, keepdims=True)])
    return Trial(
        waves.x,
        waves.action,
        waves.reward,
        waves.propensity,
        waves.person,
        described if factored else named,
        waves.names,
    )


def ours(train: Waves) -> tuple[Mix, MixReport]:
    """The product's value model, as it comes."""
    return fit_mix(trial(train, factored=True))


def s_xgb(train: Waves, asked: Waves) -> Array:
    return S(Boosted()).fit(trial(train, factored=False)).effects(asked.x)


def t_xgb(train: Waves, asked: Waves) -> Array:
    return T(Boosted()).fit(trial(train, factored=False)).effects(asked.x)


def t_ridge(train: Waves, asked: Waves) -> Array:
    return T(Ridge()).fit(trial(train, factored=False)).effects(asked.x)


def best_single_arm(train: Waves, asked: Waves) -> Array:
    return Average(Ridge()).fit(trial(train, factored=False)).effects(asked.x)


def vw(train: Waves, asked: Waves) -> Array:
    """Vowpal Wabbit's contextual bandit (`cb_adf`, doubly robust) over described offers, two passes in the file's order."""
    import vowpalwabbit

    workspace = vowpalwabbit.Workspace(
        f"--cb_adf --cb_type dr -q ua -q ub --quiet --random_seed 1 -b {_VW_BITS} --power_t 0.5 -l 0.05"
    )
    arms = trial(train, factored=True).arm_features
    assert arms is not None
    scale = np.abs(arms).max(axis=0) + (np.abs(arms).max(axis=0) == 0)
    lines = [
        f"|a arm{k} |b " + " ".join(f"b{at}:{v:.3f}" for at, v in enumerate(arm / scale) if v)
        for k, arm in enumerate(arms)
    ]
    centre, spread = np.nanmean(train.x, axis=0), np.nanstd(train.x, axis=0)
    spread = np.where(spread > 0, spread, 1.0)

    def shared(x: Array) -> list[str]:
        rows = np.clip(np.nan_to_num((x - centre) / spread), -4, 4)
        return ["shared |u " + " ".join(f"u{at}:{v:.3f}" for at, v in enumerate(row)) for row in rows]

    told, rewards = shared(train.x), train.reward / 10
    chosen = train.propensity[np.arange(len(train.x)), train.action]
    for _ in range(2):
        for row, line in enumerate(told):
            arm = int(train.action[row])
            label = f"0:{-rewards[row]:.4f}:{chosen[row]:.4f} "
            workspace.learn([line, *((label if k == arm else "") + text for k, text in enumerate(lines))])
    effects = []
    for line in shared(asked.x):
        costs = np.array(workspace.predict([line, *lines]))
        effects.append(costs[0] - costs)
    workspace.finish()
    return np.array(effects)
