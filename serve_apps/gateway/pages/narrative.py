"""Tells a decision in sentences: what happened, and why, for somebody who sees the page for the first time.

States only what the record contains. Words follow docs/glossary.md; the page shows the figures behind them below.
"""

from __future__ import annotations

from serve_apps.gateway.pages.formats import moment, percent, reward, span
from serve_apps.gateway.pages.pictures import sentence
from serve_apps.gateway.pages.record import DecisionRecord, OutcomeRecord
from whisperer.decisions.decision import NO_SEND
from whisperer.journeys.engagement import DecisionStatus
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.groups import Group

_CAUSES = {
    "event": "an event of theirs arrived",
    "segment": "they entered a segment",
    "schedule": "the campaign's schedule fired",
    "request": "a caller asked",
}
_DEEDS = {
    "opened": "opened it",
    "clicked": "clicked a link",
    "converted": "reached the goal",
    "unsubscribed": "unsubscribed",
    "complained": "complained",
    "bounced": "could not be reached: it bounced",
    "delivered": "got it",
    "soft_bounced": "could not be reached: the mailbox did not take it",
    "failed": "could not be reached: the provider gave up",
    "replied": "replied",
    "auto_opened": "had it opened by a program",
    "auto_clicked": "had a link followed by a program",
}


def channel_words(channel: str) -> str:
    """Return a channel in words."""
    known = CHANNELS.get(channel)
    return channel if known is None else known.noun


def cause(trigger: str) -> str:
    """Return what triggered a candidacy, in words."""
    return _CAUSES.get(trigger, f"of {trigger}")


def told(decision: DecisionRecord, user: str) -> list[str]:
    """Return the sentences, in the order things happened."""
    found = [f"{user} was considered for {decision.campaign} because {cause(decision.trigger)}."]
    found += _choice(decision)
    found += _sending(decision)
    found += _outcomes(decision)
    return found


def _choice(decision: DecisionRecord) -> list[str]:
    status, arm, p = decision.status, decision.arm, decision.propensity
    if not arm or p is None:
        if status == DecisionStatus.REFUSED:
            return [f"It ended there: {sentence(decision.reason)}."]
        return ["The choice of an arm is awaited."] if status == DecisionStatus.DECIDING else []
    found = []
    if decision.refused_arms:
        found.append(f"{_arms(len(decision.refused_arms))} could not be used; {len(decision.arms)} were left.")
    if decision.group == Group.HOLDOUT:
        found.append(
            "They belong to the holdout, which is never sent anything so that the others can be compared with it."
        )
    elif decision.group == Group.UNIFORM:
        found.append(
            f"They belong to the uniform group, where every arm is equally likely: "
            f"{arm} was drawn, one of {len(decision.arms)}."
        )
    else:
        found.append(f"The policy chose {arm}, which had a chance of {percent(p)}{_standing(decision)}.")
    if arm == NO_SEND and decision.group != Group.HOLDOUT and status == DecisionStatus.NO_SEND:
        found.append("So nothing was sent: leaving a user alone is a choice as well.")
    return found


def _standing(decision: DecisionRecord) -> str:
    """Say whether the arm was the one the policy believed in most, or an exploration."""
    likeliest = max(zip(decision.propensities, decision.arms, strict=False), default=None)
    if likeliest is None or len(decision.arms) < 2:
        return ""
    if decision.propensity == likeliest[0]:
        return ", the likeliest"
    return f"; {likeliest[1]} was likelier with {percent(likeliest[0])}, and a policy has to try the others too"


def _sending(decision: DecisionRecord) -> list[str]:
    send, status = decision.send, decision.status
    if status == DecisionStatus.REFUSED and decision.arm:
        return [f"It was not delivered: {sentence(decision.reason)}."]
    if send is None:
        return ["The message is being prepared."] if status == DecisionStatus.SENDING else []
    what = channel_words(send.channel)
    if status == DecisionStatus.SENDING:
        failed = f" {_attempts(send.attempts)} failed; the next one waits." if send.attempts else ""
        return [f"The {what} is on its way.{failed}"]
    if status == DecisionStatus.SENT:
        tries = f" at attempt {send.attempts}" if send.attempts > 1 else ""
        took = _since(decision.at, send.sent_at)
        when = took and f", {took} after the trigger"
        return [f"The {what} was accepted by {send.provider or 'the provider'}{tries}{when}."]
    return []


def _outcomes(decision: DecisionRecord) -> list[str]:
    start = decision.send.sent_at if decision.send else decision.chosen_at
    first: dict[str, OutcomeRecord] = {}
    for outcome in decision.outcomes:
        first.setdefault(outcome.kind, outcome)
    deeds = []
    for kind, outcome in first.items():
        after = _since(start, outcome.at)
        deeds.append(f"{_DEEDS.get(kind, kind)}{after and f' after {after}'}")
    found = [f"The user {_listed(deeds)}."] if deeds else []
    earned = reward(decision.reward_micros)
    if decision.matured:
        found.append(f"The attribution window is closed: the reward is {earned}.")
    elif decision.arm and decision.status != DecisionStatus.REFUSED:
        found.append(f"The attribution window is still open; the reward so far is {earned}.")
    return found


def _since(start: str | None, end: str | None) -> str:
    begun, ended = moment(start), moment(end)
    return "" if begun is None or ended is None or ended < begun else span(ended - begun)


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _arms(n: int) -> str:
    return "One arm" if n == 1 else f"{n} arms"


def _attempts(n: int) -> str:
    return "One attempt" if n == 1 else f"{n} attempts"
