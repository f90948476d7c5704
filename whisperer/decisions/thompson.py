"""Choose an arm and its probability: Thompson sampling with a floor, and the two rules that use no model.

    holdout   no_send, p = 1
    uniform   every eligible arm equally likely
    policy    p = (1 - K eps) x (share of 64 draws in which the arm scored highest) + eps

Guarantees: the arm is sampled from exactly the vector that is recorded; everything random comes from the decision's id,
so that the same candidate under the same statistics gets the same choice, alone or in any batch, today or at an audit.
No cost is subtracted here: rewards are already net of cost. Only where the campaign has a budget is a price per unit of
cost subtracted from the means, one price per batch, recorded with the statistics' version; and an arm that can no
longer be paid for has p = 0, recorded as such. Both are known before the arm is sampled, so p is still what it was
sampled from.

Arms are scored independently, so a draw of an arm's expected reward is normal(mean, WIDTH x spread): no coefficients
are drawn. The normals are a window of one fixed table, at a place that the id determines.

References
----------
Agrawal & Goyal, ICML 2013 (linear Thompson sampling); Chapelle & Li, NIPS 2011 (draws narrower than the posterior).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from whisperer.decisions.context import bounded_scores, rows_of, transform
from whisperer.decisions.decision import NO_SEND, Candidate, Choice, seed_of
from whisperer.decisions.posterior import FLOOR, Posterior, prior
from whisperer.decisions.purse import Purse, Wallet
from whisperer.decisions.versions import priced
from whisperer.errors import InvariantError
from whisperer.ids import TenantId
from whisperer.vocabulary.groups import GROUPS, Group
from whisperer.vocabulary.units import MICROS

N_DRAWS = 64
WIDTH = 0.35
"""Draws are this much narrower than the posterior. The floor and the uniform group already explore forever, and
full-width draws on top of them cost more than they find out (on simulated campaigns)."""

_TABLE = 1 << 16
# RandomState's stream is frozen for good, unlike the newer generators': an audit must find the same numbers.
_NORMALS = np.random.RandomState(20261123).standard_normal(_TABLE).astype(np.float32)
_WINDOWS = np.lib.stride_tricks.sliding_window_view(np.r_[_NORMALS, _NORMALS[: N_DRAWS - 1]], N_DRAWS)
_PRIOR = prior()


def choose(
    candidates: Sequence[Candidate],
    policies: Mapping[tuple[TenantId, str], Posterior],
    floor: float | None = None,
    wallet: Wallet | None = None,
) -> list[Choice]:
    """Return one choice per candidate, in the same order.

    Parameters
    ----------
    candidates : any mixture of tenants, campaigns and groups
    policies : by (tenant, campaign); where one is missing the prior decides, the same for every arm
    floor : eps, each policy's own by default
    wallet : pays for candidates of campaigns with a budget; by default nothing that has a cost can be paid for

    Raises
    ------
    InvariantError
        For a candidate in which :func:`fault_of` finds a fault.

    Examples
    --------
    >>> held = Candidate("dec_1", "t", "c", 1, "holdout", ["no_send", "mail"], [], 0)
    >>> made = choose([held], {})[0]
    >>> made.arm, made.propensity, made.propensities
    ('no_send', 1.0, [1.0, 0.0])
    """
    wallet = Wallet() if wallet is None else wallet
    alike: dict[tuple[str, TenantId, str, tuple[str, ...], Purse | None, tuple[int, ...]], list[int]] = {}
    for at, candidate in enumerate(candidates):
        fault = fault_of(candidate)
        if fault:
            raise InvariantError(f"{candidate.decision_id} cannot be decided: {fault}")
        purse = None if candidate.budget is None else wallet.of(candidate)
        arms = tuple(candidate.arms)
        key = (candidate.group, candidate.tenant, candidate.campaign, arms, purse, tuple(candidate.costs))
        alike.setdefault(key, []).append(at)
    choices: list[Choice | None] = [None] * len(candidates)
    for (group, tenant, campaign, arms, purse, told), places in alike.items():
        costs = np.array(told, np.int64)
        members = [candidates[at] for at in places]
        if group == Group.HOLDOUT:
            made = _by_rule(members, [float(arm == NO_SEND) for arm in arms], group, None, costs)
        elif group == Group.UNIFORM:
            made = _by_rule(members, [1 / len(arms)] * len(arms), group, purse, costs)
        else:
            policy = policies.get((tenant, campaign), _PRIOR)
            made = _by_policy(members, arms, campaign, policy, floor, purse, costs)
        for at, choice in zip(places, made, strict=True):
            choices[at] = choice
    return [choice for choice in choices if choice is not None]


def fault_of(candidate: Candidate) -> str:
    """Return why no choice can be made for a candidate, "" if one can."""
    if candidate.group not in GROUPS:
        return f"group {candidate.group!r} does not exist"
    if NO_SEND not in candidate.arms:
        return f"{NO_SEND} is not among its arms"
    if len(set(candidate.arms)) != len(candidate.arms):
        return "an arm is listed twice"
    if candidate.scores and len(candidate.scores) != len(candidate.arms):
        return "its scores are not one an arm"
    if candidate.budget is None:
        return "it has costs and no budget" if candidate.costs else ""
    if len(candidate.costs) != len(candidate.arms) or min(candidate.costs) < 0:
        return "its costs are not one an arm, or one is negative"
    if candidate.arms[0] != NO_SEND or candidate.costs[0]:
        return f"{NO_SEND} is not the first of its arms, or costs something"
    return ""


def mixed(shares: NDArray[np.float64], floor: float = FLOOR) -> NDArray[np.float64]:
    """Mix the floor into win shares, shape (n, K): (1 - K eps) share + eps."""
    n_arms = shares.shape[1]
    eps = min(floor, 0.5 / n_arms)
    return np.asarray(shares * (1 - n_arms * eps) + eps, np.float64)


def _by_rule(
    members: list[Candidate], rule: list[float], group: str, purse: Purse | None, costs: NDArray[np.int64]
) -> list[Choice]:
    seeds = [seed_of(candidate.decision_id) for candidate in members]
    vectors = np.tile(np.array(rule), (len(members), 1))
    chosen = _paid(purse, vectors, costs, np.array(seeds, np.uint64)).tolist()
    recorded = [rule] * len(members) if purse is None else vectors.tolist()
    zeros = [0.0] * len(rule)
    return [
        Choice(
            candidate.decision_id,
            candidate.arms[arm],
            vector[arm],
            candidate.arms,
            vector,
            zeros,
            zeros,
            seed,
            group,
            candidate.scores,
        )
        for candidate, vector, seed, arm in zip(members, recorded, seeds, chosen, strict=True)
    ]


def propensities(
    means: NDArray[np.float64], spreads: NDArray[np.float64], seeds: NDArray[np.uint64], floor: float = FLOOR
) -> NDArray[np.float64]:
    """Return P(arm) of each decision, floor included.

    Parameters
    ----------
    means, spreads : float64, shape (k, n), of :meth:`Posterior.score`
    seeds : uint64, shape (n,), of :func:`whisperer.decisions.decision.seed_of`

    Returns
    -------
    p : float64, shape (n, k), rows sum to 1
    """
    return mixed(_win_shares(means, spreads, seeds), floor)


def sampled(p: NDArray[np.float64], seeds: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Draw an arm's index from each row of ``p``, shape (n, k), by a uniform number independent of the draws."""
    uniform = (_mix(seeds, 2) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    edges = np.cumsum(p, axis=1)
    # The last possible arm takes whatever rounding leaves of 1; an arm with p = 0 is never chosen.
    last = p.shape[1] - 1 - np.argmax(p[:, ::-1] > 0, axis=1)
    return np.asarray(np.minimum((uniform[:, None] >= edges).sum(axis=1), last), np.int64)


def _by_policy(
    members: list[Candidate],
    arms: tuple[str, ...],
    campaign: str,
    policy: Posterior,
    floor: float | None,
    purse: Purse | None,
    costs: NDArray[np.int64],
) -> list[Choice]:
    seeds = [seed_of(candidate.decision_id) for candidate in members]
    x = transform(rows_of([candidate.features for candidate in members]))
    means, spreads = policy.score(x, policy.rows(arms), _scores_of(members, len(arms)))
    seed_array = np.array(seeds, np.uint64)
    price = 0.0 if purse is None else purse.priced(means, costs)
    worth = means - price * (costs / MICROS)[:, None] if price else means
    vectors = propensities(worth, spreads, seed_array, policy.floor if floor is None else floor)
    chosen = _paid(purse, vectors, costs, seed_array)
    own = vectors[np.arange(len(members)), chosen]
    version = priced(f"{campaign}@{policy.number}", price)
    return [
        Choice(
            candidate.decision_id, arms[arm], p, candidate.arms, vector, mean, spread, seed, version, candidate.scores
        )
        for candidate, arm, p, vector, mean, spread, seed in zip(
            members,
            chosen.tolist(),
            own.tolist(),
            vectors.tolist(),
            means.T.tolist(),
            spreads.T.tolist(),
            seeds,
            strict=True,
        )
    ]


def _paid(
    purse: Purse | None, p: NDArray[np.float64], costs: NDArray[np.int64], seeds: NDArray[np.uint64]
) -> NDArray[np.int64]:
    """Sample and pay for an arm from each row of ``p``. Once too little is left for some arms, their p is redistributed
    over the others, and the row is updated."""
    if purse is None:
        return sampled(p, seeds)
    if int(costs.max()) * len(p) <= purse.left_micros:
        chosen = sampled(p, seeds)
        purse.pay(int(costs[chosen].sum()))
        return chosen
    chosen = np.zeros(len(p), np.int64)
    for at in range(len(p)):
        payable = purse.payable(costs)
        if (p[at, ~payable] > 0).any():
            purse.n_withheld += 1
            p[at] *= payable
            p[at, 0] += not p[at].any()  # without a floor nothing may be left: then `no_send`
            p[at] /= p[at].sum()
        chosen[at] = sampled(p[at : at + 1], seeds[at : at + 1])[0]
        purse.pay(int(costs[chosen[at]]))
    return chosen


def _scores_of(members: list[Candidate], n_arms: int) -> NDArray[np.float64] | None:
    """Return column `SCORE` by arm, shape (k, n); None if nobody has scores, which is equivalent to zeros."""
    if not any(candidate.scores for candidate in members):
        return None
    absent = [math.nan] * n_arms
    return bounded_scores(np.array([candidate.scores or absent for candidate in members], np.float64).T)


def _win_shares(
    means: NDArray[np.float64], spreads: NDArray[np.float64], seeds: NDArray[np.uint64]
) -> NDArray[np.float64]:
    """Return the share of draws in which each arm scores highest, shape (n, K); ties go to the first."""
    n_arms, n = means.shape
    if n_arms == 1:
        return np.ones((n, 1))
    # Relative to the first arm: float32 then holds differences, however large the rewards themselves are.
    centred = (means - means[0]).astype(np.float32)
    narrow = (WIDTH * spreads).astype(np.float32)
    place = (_mix(seeds, 1) & np.uint64(_TABLE - 1)).astype(np.int64)
    best = _WINDOWS[place] * narrow[0, :, None]
    winner = np.zeros((n, N_DRAWS), np.int8 if n_arms < 128 else np.int32)
    for arm in range(1, n_arms):
        score = _WINDOWS[(place + arm * N_DRAWS) % _TABLE]
        score *= narrow[arm, :, None]
        score += centred[arm, :, None]
        np.copyto(winner, arm, where=score > best)
        np.maximum(best, score, out=best)
    shares = np.empty((n, n_arms))
    for arm in range(n_arms):
        shares[:, arm] = np.count_nonzero(winner == arm, axis=1) / N_DRAWS
    return shares


def _mix(seeds: NDArray[np.uint64], stream: int) -> NDArray[np.uint64]:
    """Return the ``stream``-th number that splitmix64 makes from each seed (Steele, Lea & Flood, OOPSLA 2014)."""
    z = seeds + np.uint64(stream * 0x9E3779B97F4A7C15 % 2**64)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
