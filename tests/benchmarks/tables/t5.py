"""T5, off-policy evaluation: figures worked out by hand, coverage where the truth is known, and ZOZOTOWN's real logs.

Beside ours (SNIPS, cross-fitted DR, SWITCH-DR and the gate) stand plain IPS, IPS with weights clipped at 10, and a direct
method of plain arm means, on the same rows. Three parts:

`references`: every estimator against a log worked out by hand.
`synthetic`: logged bandits with known truth (`tests/statistical/bandit_worlds.py`): how often 95 % intervals by users hold
it, the error of each estimator, and what the gate promotes.
`open_bandit`: the Open Bandit data, both campaigns, both directions. The logs have 46 to 69 clicks in 10,000 rows, so
the on-policy mean has a standard error of 15 % itself; it stands beside the published click rates of the full data.

Of Bernoulli Thompson sampling only the propensities of what it showed were published. As a target it is therefore its
average policy: the share of each item at each position, from its own log (no click is used). There are no user ids
either: rows of the same user features in the same hour are taken for one user. Nothing is chosen by any of these rows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from tests.benchmarks.screen import say
from tests.statistical.bandit_worlds import World
from tests.unit.whisperer.evaluation import worked_example
from whisperer.evaluation.bootstrap import Interval, intervals
from whisperer.evaluation.estimators import Terms, dm, dr, ips, on_policy, snips, switch_dr, threshold, weights
from whisperer.evaluation.gate import GateRule, judge
from whisperer.evaluation.logged import Logged
from whisperer.evaluation.overlap import overlap
from whisperer.evaluation.reward_model import cross_fitted

Floats = NDArray[np.float64]

CLIP = 10.0
FOLDER = "open_bandit_small"

PUBLISHED = {
    "men": {"random": 0.0051, "bts": 0.0067},
    "women": {"random": 0.0048, "bts": 0.0064},
}
"""Click rates of the full data: Saito, Aihara, Matsutani & Narita, NeurIPS 2021 (Datasets and Benchmarks), table 1."""


WORLDS = {
    "conversions": World(),
    "money": World(money=True, seed=1),
    "conversions, floor of 0.2 %": World(floor=0.002),
}


def estimates(log: Logged, target: Floats) -> dict[str, Terms]:
    """Ours and the baselines."""
    n_arms = target.shape[-1]
    expected = cross_fitted(log, n_arms)
    clipped = np.minimum(weights(log, target), CLIP)
    counts = np.maximum(np.bincount(log.action, minlength=n_arms), 1)
    arm_means = np.bincount(log.action, log.reward, minlength=n_arms) / counts
    return {
        "ips (baseline)": ips(log, target),
        "clipped ips (baseline)": Terms(clipped * log.reward, np.ones(len(log))),
        "dm of arm means (baseline)": dm(log, target, np.broadcast_to(arm_means, (len(log), n_arms))),
        "dm": dm(log, target, expected),
        "snips": snips(log, target),
        "dr": dr(log, target, expected),
        "switch_dr": switch_dr(log, target, expected, threshold(log, target, expected)),
    }


def references() -> dict[str, Any]:
    ours = worked_example.ours()
    return {
        name: {"ours": ours[name], "by_hand": by_hand, "apart": abs(ours[name] - by_hand)}
        for name, by_hand in worked_example.BY_HAND.items()
    }


def synthetic(world: World, n_worlds: int, n_users: int, n_resamples: int) -> dict[str, Any]:
    """Coverage and error by estimator; ``dr_less`` is DR's squared error less the other's, paired by world, with 95 %."""
    truth, current = world.truth()
    errors, covered = [], []
    for seed in range(n_worlds):
        log, target = world.draw(seed, n_users)
        terms = estimates(log, target)
        found = intervals(list(terms.values()), log.user, n_resamples=n_resamples)
        errors.append([one.value - truth for one in found])
        covered.append([one.low <= truth <= one.high for one in found])
    off, held = np.array(errors), np.array(covered).mean(axis=0)
    squared = off**2
    figures: dict[str, Any] = {"truth": round(truth, 5), "value_of_logging_policy": round(current, 5)}
    best = list(terms).index("dr")
    for at, name in enumerate(terms):
        gap = squared[:, best] - squared[:, at]
        half = 1.96 * gap.std(ddof=1) / np.sqrt(n_worlds)
        figures[name] = {
            "coverage": round(float(held[at]), 4),
            "rmse_relative": round(float(np.sqrt(squared[:, at].mean()) / truth), 4),
            "bias_relative": round(float(off[:, at].mean() / truth), 4),
            "dr_less_squared_error": [round(float((gap.mean() + side * half) / truth**2), 6) for side in (-1, 0, 1)],
        }
    return figures


def promoted(aim: float, n_worlds: int, n_users: int) -> dict[str, float]:
    world = World(aim=aim)
    truth, current = world.truth()
    verdicts = [judge(*world.draw(seed, n_users), rule=GateRule(n_resamples=300)).promote for seed in range(n_worlds)]
    return {"true_gain_relative": round(truth / current - 1, 4), "promoted": round(float(np.mean(verdicts)), 4)}


def read_log(folder: Path, policy: str, campaign: str) -> tuple[Logged, NDArray[np.int64], int]:
    """The log, each row's position from 0, and the number of items."""
    path, items = folder / f"{policy}_{campaign}.csv.gz", folder / f"item_context_{campaign}.csv.gz"
    features = [f"user_feature_{at}" for at in range(4)]
    rows = duckdb.sql(f"""
        select item_id, click, propensity_score, position - 1 as position, {", ".join(features)},
               concat_ws('/', {", ".join(features)}, date_trunc('hour', "timestamp")::varchar) as visitor
        from read_csv('{path}')
    """).fetchnumpy()
    ((n_items,),) = duckdb.sql(f"select count(*) from read_csv('{items}')").fetchall()
    position = np.asarray(rows["position"], np.int64)
    columns = [position, *(np.unique(np.asarray(rows[name], str), return_inverse=True)[1] for name in features)]
    # The first level of each is what the others are compared with.
    context = np.concatenate([np.eye(column.max() + 1)[column][:, 1:] for column in columns], axis=1)
    action, p = np.asarray(rows["item_id"], np.int64), np.asarray(rows["propensity_score"], np.float64)
    whole = np.full((len(action), n_items), 1 / n_items) if policy == "random" else None
    visitor = np.asarray(rows["visitor"], str)
    return Logged(action, np.asarray(rows["click"], np.float64), p, visitor, context, whole), position, n_items


def shares(log: Logged, position: NDArray[np.int64], n_items: int) -> Floats:
    """How often each item was shown at each position, shape (n_positions, n_items)."""
    counts = np.zeros((position.max() + 1, n_items))
    np.add.at(counts, (position, log.action), 1)
    return counts / counts.sum(axis=1, keepdims=True)


def open_bandit(folder: Path, campaign: str, source: str, n_resamples: int) -> dict[str, Any]:
    log, position, n_items = read_log(folder, source, campaign)
    other = "bts" if source == "random" else "random"
    reached, other_position, _ = read_log(folder, other, campaign)
    target = (
        shares(reached, other_position, n_items)[position]
        if other == "bts"
        else np.full((len(log), n_items), 1 / n_items)
    )
    terms = estimates(log, target)
    found = dict(zip(terms, intervals(list(terms.values()), log.user, n_resamples=n_resamples), strict=True))
    (truth,) = intervals([on_policy(reached)], reached.user, n_resamples=n_resamples)
    verdict = judge(log, target)
    diagnosis = overlap(log, target)
    return {
        "on_policy_truth": _told(truth),
        "published_truth": PUBLISHED[campaign][other],
        "tau": verdict.figures.tau,
        "n_effective": round(diagnosis.n_effective, 1),
        "max_weight": round(diagnosis.max_weight, 1),
        "estimates": {name: _beside(one, truth.value, PUBLISHED[campaign][other]) for name, one in found.items()},
        "gate": {"promote": verdict.promote, "reasons": [one.sentence for one in verdict.reasons]},
    }


def _told(found: Interval) -> list[float]:
    return [round(part, 6) for part in (found.low, found.value, found.high)]


def _beside(found: Interval, truth: float, published: float) -> dict[str, Any]:
    return {
        "interval": _told(found),
        "off_on_policy": round(abs(found.value / truth - 1), 3),
        "off_published": round(abs(found.value / published - 1), 3),
        "holds_published": found.low <= published <= found.high,
    }


def run(data: Path, **options: Any) -> dict[str, Any]:
    """T5.

    Parameters
    ----------
    data : folder that has ``open_bandit_small``, or is a folder of such files
    worlds : synthetic logs a setting, 1,000
    users : in each, 600
    resamples : of each bootstrap, 500
    """
    n_worlds, n_users = int(options.get("worlds", 1_000)), int(options.get("users", 600))
    n_resamples = int(options.get("resamples", 500))
    folder = data / FOLDER if (data / FOLDER).is_dir() else data
    by_hand = references()
    logs = {}
    for campaign in PUBLISHED:
        for source, other in (("random", "bts"), ("bts", "random")):
            say(f"open bandit, {campaign}, {source} -> {other}")
            logs[f"{campaign}, {source} -> {other}"] = open_bandit(folder, campaign, source, n_resamples)
    worlds = {}
    for name, world in WORLDS.items():
        say(f"{n_worlds} synthetic logs, {name}")
        worlds[name] = synthetic(world, n_worlds, n_users, n_resamples)
    say("the gate on synthetic logs")
    gate = {
        name: promoted(aim, n_worlds // 5, 1_000)
        for name, aim in (("better", 1.0), ("a little worse", 0.0), ("worse", -1.0))
    }
    coverage = [figures[name]["coverage"] for figures in worlds.values() for name in ("snips", "dr", "switch_dr")]
    return {
        "marks": {
            "references_within_1e-6": max(one["apart"] for one in by_hand.values()) <= 1e-6,
            "coverage_within_93_to_97": all(0.93 <= share <= 0.97 for share in coverage),
            "gate_refuses_women_bts_to_random": not logs["women, bts -> random"]["gate"]["promote"],
        },
        "references": by_hand,
        "open_bandit": logs,
        "synthetic": worlds,
        "gate": gate,
    }
