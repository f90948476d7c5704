"""Estimate what a policy would have earned per decision in a campaign, with an interval, from logged decisions.

The log is the campaign's own or, for one that never ran, that of a campaign *like* it: the same goal event, reward and
window, and for each arm one with the same channel, template and offer. Guarantees: no figure without decisions that
support it (:mod:`whisperer.evaluation.overlap`); what cannot be estimated comes with a reason. Leaves to others:
promotion, which requires more (:mod:`whisperer.evaluation.gate`).

A policy that learned from this very log is judged by data it has seen: the figure flatters it, and a caveat says so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from whisperer.decisions.context import rows_of, transform
from whisperer.decisions.decision import NO_SEND, Candidate
from whisperer.evaluation.bootstrap import Interval, compare, intervals
from whisperer.evaluation.estimators import Terms, dr, snips, switch_dr, threshold
from whisperer.evaluation.gate import DR, SNIPS, SWITCH_DR
from whisperer.evaluation.logged import Floats, InvalidLogError, Logged
from whisperer.evaluation.overlap import overlap, refusals
from whisperer.evaluation.reward_model import N_FOLDS, cross_fitted
from whisperer.ids import DecisionId, TenantId, UserKey
from whisperer.journeys.campaign import Campaign
from whisperer.simulation.plan import LEARNED, model_of
from whisperer.simulation.replay import Choose
from whisperer.vocabulary.groups import Group
from whisperer.vocabulary.units import MICROS

FEWEST_EFFECTIVE = 100.0
"""Effective decisions below which no figure is given. The gate requires ten times as many."""
MOST_DECISIONS = 200_000
"""How many of a log's newest decisions are used."""

NO_LOG, NO_ARM, NOT_ENOUGH = "no_log", "arm_never_tried", "not_enough"


@dataclass(frozen=True, slots=True)
class DecisionLog:
    """Hold decisions of one campaign with final rewards, without the holdout; parallel lists, newest last.

    Attributes
    ----------
    campaign : the version in force; arms of other versions are matched by name
    arms, propensities : whole vectors, `no_send` first
    features : raw, in the order of :data:`whisperer.decisions.context.NAMES`, NaN where absent
    """

    campaign: Campaign
    user: Sequence[UserKey]
    arm: Sequence[str]
    arms: Sequence[list[str]]
    propensities: Sequence[list[float]]
    features: Sequence[list[float]]
    at: Sequence[int]
    reward_micros: Sequence[int]

    def __len__(self) -> int:
        return len(self.arm)


@dataclass(frozen=True, slots=True)
class Value:
    """An estimate, in the goal's unit per decision.

    Attributes
    ----------
    source : the campaign whose log was used
    estimate : by doubly robust estimation; ``estimates`` has the others
    over_no_send : the difference from leaving everyone alone, None if the log does not support that
    caveats : sentences
    """

    source: str
    n_decisions: int
    n_effective: float
    estimate: Interval
    over_no_send: Interval | None
    estimates: Mapping[str, Interval]
    caveats: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotEstimated:
    """Why there is no estimate: ``reason`` is a constant for programs, ``sentence`` is for people."""

    reason: str
    sentence: str


def like_arms(campaign: Campaign, other: Campaign) -> dict[str, str] | None:
    """Map arms of ``other`` to those of ``campaign`` that are like them; None if the goals cannot be compared."""
    if (campaign.goal.event, campaign.goal.reward, campaign.goal.window_s, campaign.purpose) != (
        other.goal.event,
        other.goal.reward,
        other.goal.window_s,
        other.purpose,
    ):
        return None
    theirs = {(arm.channel, arm.template, msgspec.json.encode(arm.offer)): arm.id for arm in other.arms}
    ours = {arm.id: (arm.channel, arm.template, msgspec.json.encode(arm.offer)) for arm in campaign.arms}
    if campaign.name == other.name:
        # A campaign's own arms are matched by name: with a template's next version it is the same arm, as for the
        # learner.
        by_name = {arm.id: arm.channel for arm in other.arms}
        found = {arm.id: arm.id for arm in campaign.arms if by_name.get(arm.id) == arm.channel}
    else:
        found = {theirs[what]: arm for arm, what in ours.items() if what in theirs}
    return found | {NO_SEND: NO_SEND}


def estimate(
    campaign: Campaign,
    tenant: TenantId,
    decide: Choose,
    policy: str,
    logs: Sequence[DecisionLog],
    trained_until: int = 0,
) -> Value | NotEstimated:
    """Estimate the policy's value from the first log that holds all arms; ``logs`` are in order of preference.

    Parameters
    ----------
    decide : the policy
    policy : its name in the plan
    trained_until : ms UTC, end of the data of the model that ``policy`` names
    """
    why = NotEstimated(NO_LOG, "cannot be estimated: no decision of this campaign, or of one like it, has its reward.")
    for log in logs:
        same = like_arms(campaign, log.campaign)
        if same is None or not len(log):
            continue
        missing = [arm.id for arm in campaign.arms if arm.id not in same.values()]
        if missing:
            why = NotEstimated(
                NO_ARM,
                f"cannot be estimated: {', '.join(missing)} was never tried, in {log.campaign.name} or elsewhere.",
            )
            continue
        return _estimate(campaign, tenant, decide, policy, log, same, trained_until)
    return why


def _estimate(
    campaign: Campaign,
    tenant: TenantId,
    decide: Choose,
    policy: str,
    log: DecisionLog,
    same: dict[str, str],
    trained_until: int,
) -> Value | NotEstimated:
    order = [NO_SEND, *(arm.id for arm in campaign.arms)]
    # Nothing can be learned from an arm that the campaign no longer has: its decisions are left out, the rest
    # renormalised.
    kept = [at for at in range(len(log)) if log.arm[at] in same][-MOST_DECISIONS:]
    if not kept:
        return NotEstimated(NO_LOG, f"cannot be estimated: no decision of {log.campaign.name} has its reward.")
    arms = [[same[arm] for arm in log.arms[at] if arm in same] for at in kept]
    vectors = np.zeros((len(kept), len(order)))
    for row, at in enumerate(kept):
        given = {same[a]: p for a, p in zip(log.arms[at], log.propensities[at], strict=True) if a in same}
        total = sum(given.values())
        for arm, p in given.items():
            vectors[row, order.index(arm)] = p / total
    action = np.array([order.index(same[log.arm[at]]) for at in kept])
    target = _target(campaign, tenant, decide, log, kept, arms, order)
    try:
        logged = Logged(
            action,
            np.array([log.reward_micros[at] for at in kept]) / MICROS,
            vectors[np.arange(len(kept)), action],
            np.array([log.user[at] for at in kept]),
            transform(rows_of([log.features[at] for at in kept])),
            vectors,
        )
        found = overlap(logged, target)
        against = refusals(found, FEWEST_EFFECTIVE)
        if against or logged.n_users < N_FOLDS:
            sentence = against[0].sentence if against else "too few users."
            return NotEstimated(NOT_ENOUGH, f"cannot be estimated from {log.campaign.name}: {sentence}")
        return _figures(
            log.campaign.name, logged, target, found.n_effective, _caveats(campaign, policy, log, trained_until)
        )
    except InvalidLogError as error:
        return NotEstimated(error.reason, f"cannot be estimated: the log of {log.campaign.name} is odd ({error}).")


def _target(
    campaign: Campaign,
    tenant: TenantId,
    decide: Choose,
    log: DecisionLog,
    kept: list[int],
    arms: list[list[str]],
    order: list[str],
) -> Floats:
    paid = campaign.budget is not None
    candidates = [
        Candidate(
            *(DecisionId(f"dec_{at}"), tenant, campaign.name, 1, Group.POLICY, arms[row], log.features[at], log.at[at]),
            costs=[campaign.cost_micros(arm) for arm in arms[row]] if paid else [],
            budget=campaign.budget,
        )
        for row, at in enumerate(kept)
    ]
    target = np.zeros((len(kept), len(order)))
    for row, choice in enumerate(decide(candidates)):
        for arm, p in zip(choice.arms, choice.propensities, strict=True):
            target[row, order.index(arm)] = p
    return target


def _figures(source: str, logged: Logged, target: Floats, n_effective: float, caveats: tuple[str, ...]) -> Value:
    expected = cross_fitted(logged, target.shape[1])
    tau = threshold(logged, target, expected)
    terms: dict[str, Terms] = {
        DR: dr(logged, target, expected),
        SNIPS: snips(logged, target),
        SWITCH_DR: switch_dr(logged, target, expected, tau),
    }
    told = dict(zip(terms, intervals(list(terms.values()), logged.user), strict=True))
    alone = np.eye(target.shape[1])[0]
    over = None
    if not refusals(overlap(logged, alone), FEWEST_EFFECTIVE):
        over = compare(terms[DR], dr(logged, alone, expected), logged.user).difference
    return Value(source, len(logged), n_effective, told[DR], over, told, caveats)


def _caveats(campaign: Campaign, policy: str, log: DecisionLog, trained_until: int) -> tuple[str, ...]:
    told = []
    if seen := sum(at < trained_until for at in log.at):
        told.append(f"{seen:,} of the {len(log):,} decisions are of the time that {policy} was trained on, or older.")
    if log.campaign.name != campaign.name:
        told.append(f"It is from {log.campaign.name}, whose arms are alike; its users were other ones.")
    elif policy == LEARNED or model_of(policy) is not None:
        told.append("The policy has learned from the same decisions, which flatters it.")
    return tuple(told)
