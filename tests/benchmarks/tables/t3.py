"""T3, the headline: offers over the Starbucks rewards file, 30 % of the users a wave or all of them.

Trained on the waves at hours 0, 168 and 336, judged on those at 408, 504 and 576: the reward a user and wave that a
policy would have brought, doubly robust with a ridge nuisance fitted on the training waves, intervals by resampling
users, differences in pairs. Everything is chosen on training rows. The baselines are in
:mod:`tests.benchmarks.tables.starbucks_policies`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.screen import say
from tests.benchmarks.tables import starbucks_policies as policies
from tests.benchmarks.tables.starbucks_waves import Waves, read
from training.uplift.bases import Ridge
from training.uplift.learners import T
from whisperer.evaluation.bootstrap import compare, intervals
from whisperer.evaluation.estimators import Terms, dr
from whisperer.evaluation.logged import Logged

BUDGET = 0.3
LAST_TRAINING_HOUR = 336
MARKS = {"budget_over_best_baseline": 0.15, "everybody_over_best_single_arm": 0.0}
CURVE = (0.125, 0.25, 0.5, 1.0)
"""Shares of the users whose training rows are used."""

Array = NDArray[np.float64]
Choice = NDArray[np.int64]


def run(data: Path, *, curve: bool = True, **_: Any) -> dict[str, Any]:
    """Every policy's value beside ours, and ours by the number of users learned from.

    Parameters
    ----------
    data : folder that holds `starbucks_rewards`
    curve : draw the learning curve too (half of the time)
    """
    waves = read(data / "starbucks_rewards")
    train, test = waves.at(waves.hour <= LAST_TRAINING_HOUR), waves.at(waves.hour > LAST_TRAINING_HOUR)
    judge = Judge(train, test)
    say(f"T3: {len(train.x)} decisions to learn from, {len(test.x)} to be judged on")
    mix, report = policies.ours(train)
    caution = report.caution
    effects = mix.effects(test.x)
    everybody, limited = {"ours": caution.choose(effects)}, {"ours": spent(effects, caution.choose(effects), test.hour)}
    learners = (policies.s_xgb, policies.t_xgb, policies.t_ridge, policies.vw)
    for learner in learners:
        say(f"T3: {learner.__name__}")
        found = learner(train, test)
        everybody[learner.__name__] = found.argmax(axis=1)
        limited[learner.__name__] = spent(found, found.argmax(axis=1), test.hour)
    level = policies.best_single_arm(train, test)
    best = level.argmax(axis=1)
    everybody["best_single_arm"] = best
    for name, order in (("random", np.random.default_rng(0).random(len(best))), ("most_lapsed", _lapsed(test))):
        limited[name] = spent(np.where(np.arange(level.shape[1]) > 0, order[:, None], 0.0), best, test.hour)
    result: dict[str, Any] = {
        "table": "T3",
        "rows": {"train": len(train.x), "test": len(test.x), "users": int(judge.log.n_users)},
        "unit": "dollars a user and wave, after rewards paid out",
        "weights": report.weights,
        "caution": {**asdict(caution), "margin": str(caution.margin)},
        "budget": judge.table(limited, BUDGET),
        "everybody": judge.table(everybody, None),
        "marks": MARKS,
    }
    budget, free = result["budget"], result["everybody"]
    over = budget["ours_over"][budget["best_baseline"]]
    result["met"] = {
        "budget_over_best_baseline": over["value"] >= MARKS["budget_over_best_baseline"] and over["low"] > 0,
        "everybody_over_best_single_arm": free["ours_over"]["best_single_arm"]["value"] >= 0,
    }
    if curve:
        result["learning_curve"] = [_learned_from(share, train, test, judge) for share in CURVE]
    return result


class Judge:
    """Values of policies on the test waves."""

    def __init__(self, train: Waves, test: Waves) -> None:
        rows = np.arange(len(test.x))
        self.log = Logged(
            test.action, test.reward, test.propensity[rows, test.action], test.person, probabilities=test.propensity
        )
        nuisance = T(Ridge()).fit(policies.trial(train, factored=False))
        self.expected = np.stack([terms[0][1].predict(test.x) for terms in nuisance.terms], axis=1)

    def terms(self, choice: Choice) -> Terms:
        return dr(self.log, np.eye(self.expected.shape[1])[choice], self.expected)

    def table(self, choices: dict[str, Choice], budget: float | None) -> dict[str, Any]:
        """Each policy's value, and ours less each other's, with 95 % intervals."""
        terms = {name: self.terms(choice) for name, choice in choices.items()}
        held = intervals(list(terms.values()), self.log.user)
        values = {name: asdict(found) for name, found in zip(terms, held, strict=True)}
        others = [name for name in terms if name != "ours"]
        over = {name: asdict(compare(terms["ours"], terms[name], self.log.user).difference) for name in others}
        best = max(others, key=lambda name: values[name]["value"])
        return {"sent_at_most": budget, "values": values, "best_baseline": best, "ours_over": over}


def spent(effects: Array, choice: Choice, hour: Choice) -> Choice:
    """Give ``choice`` to the 30 % of each wave's users of whom most is expected, and nothing to the others."""
    gain = effects[np.arange(len(effects)), choice] - effects[:, 0]
    sent = np.zeros(len(choice), np.int64)
    for at in np.unique(hour):
        wave = np.flatnonzero(hour == at)
        first = wave[np.argsort(-gain[wave], kind="stable")[: int(BUDGET * len(wave))]]
        sent[first] = choice[first]
    return sent


def sentences(result: dict[str, Any]) -> Iterable[str]:
    """The table for people."""
    for part in ("budget", "everybody"):
        yield f"{part}: dollars a user and wave"
        for name, found in sorted(result[part]["values"].items(), key=lambda item: -item[1]["value"]):
            over = result[part]["ours_over"].get(name)
            beside = f"   ours {over['value']:+.3f} [{over['low']:+.3f}, {over['high']:+.3f}]" if over else ""
            yield f"  {name:16s} {found['value']:7.3f} [{found['low']:.3f}, {found['high']:.3f}]{beside}"


def _lapsed(test: Waves) -> Array:
    return test.x[:, test.names.index("hours_since_purchase")]


def _learned_from(share: float, train: Waves, test: Waves, judge: Judge) -> dict[str, float]:
    say(f"T3: learning from {share:.0%} of the users")
    users = np.random.default_rng(0).permutation(int(train.person.max()) + 1)
    part = train.at(np.isin(train.person, users[: int(share * len(users))]))
    mix, report = policies.ours(part)
    effects = mix.effects(test.x)
    line = {
        "decisions": len(part.x),
        "ours": judge.terms(spent(effects, report.caution.choose(effects), test.hour)).value,
    }
    for learner in (policies.s_xgb, policies.vw):
        found = learner(part, test)
        line[learner.__name__] = judge.terms(spent(found, found.argmax(axis=1), test.hour)).value
    return line
