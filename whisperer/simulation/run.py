"""Run a simulation, from its plan and a history to one document: :func:`simulate`.

Counts are of the users replayed; ``share`` says what part of all users that is. Only these
are scaled to all users: the estimated total, the budget with its windows, and the users in the checklist's sentences
about the holdout.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa

from whisperer.content.errors import TemplateError
from whisperer.content.links import PlainLinks
from whisperer.content.message import NotRendered, Rendered, RenderRequest
from whisperer.content.render import not_rendered, render
from whisperer.content.supplies import Coupons, Supplies
from whisperer.content.template import Template, parse_template
from whisperer.decisions.decision import NO_SEND
from whisperer.evaluation.bootstrap import Interval
from whisperer.evaluation.lift import GroupTally
from whisperer.journeys.campaign import Campaign
from whisperer.models.value import ValueModel
from whisperer.simulation.checks import Found, checklist
from whisperer.simulation.forecast import Power, power
from whisperer.simulation.history import Fact
from whisperer.simulation.plan import SimulationPlan, check_policy, template_place
from whisperer.simulation.policy import Policies, named
from whisperer.simulation.replay import Render, Replay
from whisperer.simulation.result import (
    ArmResult,
    BudgetResult,
    DayResult,
    IntervalResult,
    Reach,
    SimulationResult,
    ValueResult,
)
from whisperer.simulation.spending import AtPrice, Spending
from whisperer.simulation.tally import CampaignTally, DayCounts
from whisperer.simulation.value import DecisionLog, NotEstimated, Value, estimate
from whisperer.vocabulary.reasons import Reason
from whisperer.vocabulary.units import DAY_MS, MICROS

CAVEATS = (
    "Users are taken to react as they did: no message changes what they do next.",
    "Of other campaigns only messages that were sent count, against caps.",
    "Consent that was stated over the API is not in the history; unsubscriptions are.",
)


class Trained(NamedTuple):
    """A model; ``until`` (ms UTC) is the end of the data it was trained on."""

    model: ValueModel
    until: int


def simulate(
    plan: SimulationPlan,
    events: Iterable[pa.RecordBatch],
    facts: Sequence[Fact] = (),
    logs: Sequence[DecisionLog] = (),
    learned: Policies | None = None,
    model: Trained | None = None,
    *,
    share: float = 1.0,
    progress: Callable[[int], None] = lambda n_events: None,
) -> SimulationResult[int]:
    """Replay, evaluate and check.

    Parameters
    ----------
    events : batches of :data:`whisperer.simulation.history.COLUMNS` in order of time
    facts : in order of time
    logs : decisions with final rewards, of this campaign first, then of others that may be like it
    learned : the learner's policies
    model : the one that the plan's policy names
    share : share of all users that ``events`` cover, in (0, 1]
    progress : called with the number of events replayed

    Raises
    ------
    RequestError
        The plan's policy does not exist.
    """
    campaign = plan.campaign
    check_policy(plan.policy, campaign)
    spending, value_model = Spending(share), None if model is None else model.model
    decide = named(plan.policy, learned or {}, value_model, spending.wallet)
    replay = Replay(plan, spending.within(decide), renderer(plan), facts)
    for batch in events:
        replay.bring(batch)
        progress(replay.n_events)
    replay.finish()
    found = _found(plan, replay, share)
    judged = named(plan.policy, learned or {}, value_model, AtPrice(spending.price))
    value = estimate(campaign, plan.tenant, judged, plan.policy, logs, 0 if model is None else model.until)
    tally, total = replay.tally, replay.tally.total
    n_policy = sum(tally.chosen.values())
    return SimulationResult(
        campaign=plan.name,
        version=plan.version,
        policy=plan.policy,
        since=plan.since,
        until=plan.until,
        share=share,
        events=replay.n_events,
        users=found.n_users,
        candidates=total.candidates,
        sent=total.sent,
        no_send=total.no_send,
        refused=dict(total.refused.most_common()),
        pending=total.pending,
        spent=total.spent_micros / MICROS,
        reach=Reach(len(tally.considered), len(tally.eligible), len(tally.reached)),
        groups=dict(tally.groups),
        arms=[_arm(campaign, arm, tally) for arm in tally.arms],
        days=[_day(day, tally.days[day]) for day in sorted(tally.days)],
        budget=_budget(plan, total, share, spending),
        value=_value(value, n_policy / share),
        checklist=checklist(plan, found),
        caveats=list(CAVEATS),
    )


def _found(plan: SimulationPlan, replay: Replay, share: float) -> Found:
    people, tally = replay.tenant.people, replay.tally
    rows = [row for key in tally.considered if (row := people.keys.get(key)) is not None]
    groups = replay.tenant.loop.account(plan.name).groups.values()
    everyone = sum(
        (GroupTally(g.users, g.total_milli, g.squares_milli2, g.absolute_milli) for g in groups), GroupTally()
    )
    return Found(
        tally,
        replay.tenant.n_users(),
        replay.n_goal_events,
        _power(plan, everyone, share),
        replay.not_rendered,
        Counter(people.locales.texts[int(code)] for code in people.table["locale"][rows]),
        Counter(people.zones.texts[int(code)] for code in people.table["zone"][rows]),
        share,
    )


def _power(plan: SimulationPlan, everyone: GroupTally, share: float) -> Power:
    treated = max(0.0, 1 - plan.experiment.holdout - plan.experiment.uniform)
    days = (plan.until - plan.since) / DAY_MS
    return power(everyone, days, plan.experiment.holdout, treated, plan.detectable_lift, 1 / share)


SIMULATED_CODE_CHARS = 12


def renderer(plan: SimulationPlan) -> Render:
    """Render with the plan's templates; links lead nowhere, catalogues are empty, and any coupon pool has codes."""
    links = PlainLinks("https://example.com")

    @lru_cache(maxsize=64)
    def compiled(place: str) -> Template | str:
        body = plan.templates.get(place)
        if body is None:
            return "the template does not exist"
        try:
            return parse_template(body)
        except TemplateError as error:
            return error.message

    def rendered(request: RenderRequest) -> Rendered | NotRendered:
        template = compiled(template_place(request.template, request.template_version))
        if isinstance(template, str):
            return not_rendered(request, Reason.TEMPLATE_FAILED, template)
        coupons = Coupons(dict.fromkeys(template.pools, SIMULATED_CODE_CHARS))
        return render(template, request, links, supplies=Supplies(coupons=coupons, is_simulated=True))

    return rendered


def _day(day: int, counts: DayCounts) -> DayResult[int]:
    return DayResult(
        day=day * DAY_MS,
        candidates=counts.candidates,
        sent=counts.sent,
        no_send=counts.no_send,
        refused=dict(counts.refused.most_common()),
        pending=counts.pending,
        spent=counts.spent_micros / MICROS,
    )


def _arm(campaign: Campaign, name: str, tally: CampaignTally) -> ArmResult:
    counted = tally.arms[name]
    channel = next((arm.channel for arm in campaign.arms if arm.id == name), None)
    spent = next((arm.cost for arm in campaign.arms if arm.id == name), 0.0) * counted.sent
    return ArmResult(
        arm=name,
        channel=channel if name != NO_SEND else None,
        decisions=counted.decisions,
        sent=counted.sent,
        spent=spent,
        refused=dict(counted.refused.most_common()),
    )


def _budget(plan: SimulationPlan, total: DayCounts, share: float, spending: Spending) -> BudgetResult[int]:
    spent = total.spent_micros / MICROS / share
    used = spent / plan.budget if plan.budget else None
    return BudgetResult(amount=plan.budget, spent=spent, used=used, windows=spending.windows(), price=spending.price)


def _value(value: Value | NotEstimated, n_decisions: float) -> ValueResult:
    if isinstance(value, NotEstimated):
        return ValueResult(not_estimated=value.sentence, reason=value.reason)
    return ValueResult(
        per_decision=_interval(value.estimate),
        over_no_send=None if value.over_no_send is None else _interval(value.over_no_send),
        total=_interval(value.estimate, n_decisions),
        estimates={name: _interval(one) for name, one in value.estimates.items()},
        source=value.source,
        decisions=value.n_decisions,
        effective=value.n_effective,
        caveats=list(value.caveats),
    )


def _interval(interval: Interval, scale: float = 1.0) -> IntervalResult:
    ends = (end * scale if math.isfinite(end) else None for end in (interval.value, interval.low, interval.high))
    return IntervalResult(*ends)
