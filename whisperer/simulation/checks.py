"""Make the launch checklist: what speaks against a campaign, each item with a sentence and what to do about it.

`block`: launched like this it would reach nobody, or do something nobody wants; `warn`: it may be intended; `ok`. The
list is advice: publishing does not consult it. Guarantees: every item is always there, in the same order, so that two
lists can be compared.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from whisperer.content.errors import TemplateError
from whisperer.content.locales import lookup
from whisperer.content.message import NotRendered
from whisperer.content.template import Template, parse_template
from whisperer.eligibility.rules import TRANSACTIONAL
from whisperer.evaluation.lift import FEWEST_USERS
from whisperer.journeys.campaign import Campaign, OnEvent, OnRequest, OnSchedule, OnSegment
from whisperer.simulation.forecast import ClockChange, Power, clock_changes
from whisperer.simulation.plan import SimulationPlan, template_place
from whisperer.simulation.tally import CampaignTally
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.providers import UNSET
from whisperer.vocabulary.reasons import Reason
from whisperer.vocabulary.units import DAY_MS, MICROS


class Level(StrEnum):
    """Name how much a finding matters: nothing, a warning, or a reason not to publish."""

    OK = "ok"
    WARN = "warn"
    BLOCK = "block"


LEVELS = tuple(Level)

SOME, MOST = 0.2, 0.95
"""Shares of candidates from which a reason for refusal deserves a warning, and from which it blocks."""
PATIENCE_DAYS = 365

*_ADDRESSES, _LAST_ADDRESS = (channel.address.noun for channel in CHANNELS.values() if channel.address.traits)


@dataclass(frozen=True, slots=True)
class Item:
    """One result; ``advice`` is "" if nothing needs to be done."""

    code: str
    level: str
    sentence: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a replay found, as the checks read it.

    Attributes
    ----------
    n_users : live users at the end of the replay
    locales, zones : of the users considered; "" if unknown
    n_goal_events : in the whole history
    share : share of all users that were replayed
    """

    tally: CampaignTally
    n_users: int
    n_goal_events: int
    power: Power
    not_rendered: Mapping[str, NotRendered] = field(default_factory=dict)
    locales: Counter[str] = field(default_factory=Counter)
    zones: Counter[str] = field(default_factory=Counter)
    share: float = 1.0


Check = Callable[[SimulationPlan, Campaign, Found], Item]


def checklist(plan: SimulationPlan, found: Found) -> list[Item]:
    """Run every check, in the order of :data:`CHECKS`."""
    campaign = plan.campaign
    return [check(plan, campaign, found) for check in CHECKS]


def _audience(plan: SimulationPlan, campaign: Campaign, found: Found) -> Item:
    n = len(found.tally.considered)
    if n:
        share = n / max(n, found.n_users)
        sentence = f"{n:,} users would have been considered, {share:.0%} of all."
        if share <= plan.largest_audience:
            return Item("audience", Level.OK, sentence)
        return Item("audience", Level.WARN, sentence, "Narrow the audience or the trigger, unless everyone is meant.")
    match campaign.trigger:
        case OnEvent(event):
            why, advice = f"the event {event!r} triggered nobody", "Check the event's spelling and the audience."
        case OnSegment(segment):
            why, advice = f"nobody entered the segment {segment!r}", "Look at its members, or simulate more days."
        case OnSchedule(cron):
            why, advice = f"{cron!r} found nobody in the audience", "Check the schedule and the audience."
        case _:
            why, advice = "no caller asked", "It decides only when asked: call POST /v1/decisions."
    level = Level.WARN if isinstance(campaign.trigger, OnRequest) else Level.BLOCK
    return Item("audience", level, f"Nobody would have been considered: {why}.", advice)


def _templates(plan: SimulationPlan, campaign: Campaign, found: Found) -> Item:
    problems = []
    for arm in campaign.arms:
        body = plan.templates.get(template_place(arm.template, arm.template_version))
        if body is None:
            problems.append(f"{arm.template} does not exist")
            continue
        try:
            parse_template(body)
        except TemplateError as error:
            problems.append(f"{arm.template} is broken ({error.message})")
    problems += [f"{name}: {one.detail}" for name, one in sorted(found.not_rendered.items())]
    if not problems:
        return Item("templates", Level.OK, "Every message that was tried could be rendered.")
    lost = _refused(found, Reason.TEMPLATE_FAILED, Reason.VARIABLE_MISSING)
    level = (
        Level.WARN if found.not_rendered and lost < MOST and len(problems) == len(found.not_rendered) else Level.BLOCK
    )
    advice = "Mend the template, or give its variables defaults."
    return Item("templates", level, f"{lost:.0%} of candidates are lost to templates: {'; '.join(problems)}.", advice)


def _locales(plan: SimulationPlan, campaign: Campaign, found: Found) -> Item:
    foreign: Counter[str] = Counter()
    for template in _parsed(plan, campaign).values():
        for locale, n in found.locales.items():
            language = locale.partition("-")[0]
            got = lookup(locale, template.locales, template.default_locale)
            if locale and got.partition("-")[0] != language:
                foreign[language] = max(foreign[language], n)
    whole = sum(found.locales.values())
    if not foreign:
        return Item("locales", Level.OK, "Templates have the language of every user whose language is known.")
    n, names = sum(foreign.values()), ", ".join(name for name, _ in foreign.most_common(5))
    sentence = f"{n:,} of {whole:,} users would get another language than theirs ({names})."
    return Item("locales", Level.WARN, sentence, "Add these locales to the templates.")


def _channels(plan: SimulationPlan, campaign: Campaign, found: Found) -> Item:
    used = {arm.channel for arm in campaign.arms}
    lacking = sorted(one for one in used if plan.providers.get(one, CHANNELS[one].unset) == UNSET)
    if not lacking:
        return Item("channels", Level.OK, "Every channel has a provider.")
    sentence = f"{', '.join(lacking)} would go to the sink, which reaches nobody."
    return Item("channels", Level.BLOCK, sentence, "Give the channel a provider: `whisperer channel set`.")


def _addresses(plan: SimulationPlan, campaign: Campaign, found: Found) -> Item:
    advice = f"State {', '.join(_ADDRESSES)} or {_LAST_ADDRESS} with identify, or use another channel."
    return _share("addresses", found, "have no address on any channel of the campaign", advice, Reason.NO_ADDRESS)


def _consent(plan: SimulationPlan, campaign: Campaign, found: Found) -> Item:
    if campaign.purpose == TRANSACTIONAL:
        return Item("consent", Level.OK, "A transactional campaign needs no consent.")
    advice = "Ask users for consent, or correct the tenant's default."
    return _share("consent", found, "have not agreed, or have withdrawn", advice, Reason.NO_CONSENT, Reason.SUPPRESSED)


def _caps(plan: SimulationPlan, campaign: Campaign, found: Found) -> Item:
    return _share("caps", found, "are over a cap", "Raise the cap, or let the trigger fire less often.", Reason.CAPPED)


def _quiet_hours(plan: SimulationPlan, campaign: Campaign, found: Found) -> Item:
    if campaign.quiet_hours is None:
        return Item("quiet_hours", Level.OK, "No quiet hours are stated.")
    n, whole = found.zones[""], sum(found.zones.values())
    if whole and n / whole >= SOME:
        sentence = f"{n:,} of {whole:,} users have no known time zone: quiet hours and local times mean UTC for them."
        return Item("quiet_hours", Level.WARN, sentence, "Send context.timezone with events.")
    return _share("quiet_hours", found, "come in quiet hours", "Trigger at other hours.", Reason.QUIET_HOURS)


def _schedule(plan: SimulationPlan, campaign: Campaign, found: Found) -> Item:
    if not isinstance(campaign.trigger, OnSchedule):
        return Item("schedule", Level.OK, "The campaign has no schedule.")
    changes = clock_changes(campaign.trigger, [zone for zone, _ in found.zones.most_common()], plan.until)
    if not changes:
        return Item("schedule", Level.OK, "No change of a clock touches the schedule within 400 days.")
    told = "; ".join(_change(change) for change in changes[:4])
    more = f"; {len(changes) - 4} more" if len(changes) > 4 else ""
    return Item("schedule", Level.WARN, f"Changes of clocks touch the schedule: {told}{more}.", "Choose another hour.")


def _budget(plan: SimulationPlan, campaign: Campaign, found: Found) -> Item:
    if plan.budget is None:
        return Item("budget", Level.OK, "No budget was given.")
    spent = 0.0
    for number, day in enumerate(sorted(found.tally.days), 1):
        spent += found.tally.days[day].spent_micros / MICROS / found.share
        if spent > plan.budget:
            level = Level.BLOCK if number == 1 else Level.WARN
            sentence = f"The budget of {plan.budget:,g} is used up on day {number} of sending."
            return Item("budget", level, sentence, "Raise it, narrow the audience, or drop the dearest arm.")
    return Item("budget", Level.OK, f"{spent:,g} of {plan.budget:,g} would have been used.")


def _holdout(plan: SimulationPlan, campaign: Campaign, found: Found) -> Item:
    power = found.power
    if not plan.experiment.holdout:
        return Item(
            "holdout", Level.BLOCK, "There is no holdout: no lift can ever be shown.", "Set a share for the holdout."
        )
    if power.holdout_users < FEWEST_USERS:
        sentence = f"{power.holdout_users:,.0f} users would be in the holdout; no lift is stated below {FEWEST_USERS}."
        return Item("holdout", Level.WARN, sentence, "Let it run longer, widen the audience, or enlarge the holdout.")
    if power.smallest is None:
        return Item("holdout", Level.WARN, "How much a lift would have to be cannot be said: nobody reached the goal.")
    sentence = f"The smallest lift that would show in as many days is {power.smallest:.3g} a user"
    if power.days is None or power.days > PATIENCE_DAYS:
        when = "never" if power.days is None else f"after {power.days:,.0f} days"
        advice = "Enlarge the holdout, widen the audience, or choose a goal that more users reach."
        return Item("holdout", Level.BLOCK, f"{sentence}; {power.wanted:.3g} would show {when}.", advice)
    sentence = f"{sentence}; {power.wanted:.3g} shows after about {power.days:,.0f} days."
    days = (plan.until - plan.since) / DAY_MS
    return Item(
        "holdout", Level.OK if power.days <= days else Level.WARN, sentence, "" if power.days <= days else "Be patient."
    )


def _goal(plan: SimulationPlan, campaign: Campaign, found: Found) -> Item:
    event = campaign.goal.event
    if not found.n_goal_events:
        sentence = f"Nobody ever did {event!r}: every reward would be 0 or less."
        return Item("goal", Level.BLOCK, sentence, "Check the spelling of the goal's event.")
    if found.tally.groups and not found.tally.matured:
        sentence = "No reward would have become final in these days: the goal's window is longer."
        return Item("goal", Level.WARN, sentence, "Shorten the window, or wait longer before judging.")
    return Item(
        "goal", Level.OK, f"{event!r} happened {found.n_goal_events:,} times; {found.tally.matured:,} rewards matured."
    )


CHECKS: tuple[Check, ...] = (
    _audience,
    _goal,
    _channels,
    _templates,
    _locales,
    _addresses,
    _consent,
    _caps,
    _quiet_hours,
    _schedule,
    _budget,
    _holdout,
)


def _share(code: str, found: Found, who: str, advice: str, *reasons: Reason) -> Item:
    share = _refused(found, *reasons)
    level = Level.BLOCK if share >= MOST else Level.WARN if share >= SOME else Level.OK
    return Item(code, level, f"{share:.0%} of candidates {who}.", advice if level != Level.OK else "")


def _refused(found: Found, *reasons: Reason) -> float:
    total = found.tally.total
    return sum(total.refused[reason] for reason in reasons) / max(1, total.candidates)


def _change(change: ClockChange) -> str:
    what = "does not exist" if change.skipped else "comes twice"
    return f"{change.wall} in {change.zone} {what}"


def _parsed(plan: SimulationPlan, campaign: Campaign) -> dict[str, Template]:
    found = {}
    for arm in campaign.arms:
        try:
            place = template_place(arm.template, arm.template_version)
            found[place] = parse_template(plan.templates[place])
        except (KeyError, TemplateError):
            continue  # :func:`_templates` says so
    return found
