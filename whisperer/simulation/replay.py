"""Replay the past through the shard's code with a campaign live: who would be considered, refused, left alone, sent to.

A shard (:meth:`whisperer.shard.machine.Shard.apply`) lives through the events under a clock that follows them. What it
asks for is answered at once: a choice by the policy, a receipt by a provider that accepts whatever renders. Nothing
leaves the process. Guarantees: eligibility, caps, quiet hours, groups, schedules, goals and ids are those of the live
shard, because it is the same code. What differs, and is reported with each result:

- users react as they did, not as they would have to these messages;
- of the tenant's other campaigns, messages that were sent count against caps, and nothing else counts;
- consent stated over the API is in no history: a user who never unsubscribed has the tenant's default;
- the clock moves in steps (:data:`MOST_STEPS`), and all of a step's events happen at its last one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from whisperer.content.message import NotRendered, Rendered, RenderRequest
from whisperer.decisions.decision import Candidate, Choice
from whisperer.delivery.dispatch import Receipt, Verdict
from whisperer.eligibility import caps
from whisperer.eligibility.standing import Sent
from whisperer.errors import InvariantError
from whisperer.events.block import encode_block
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import DecisionId, SendKey, UserKey
from whisperer.journeys.campaign import CampaignStatus
from whisperer.profiles.population import FORWARDED
from whisperer.shard.accounts import Account
from whisperer.shard.decision import sending
from whisperer.shard.effects import Decide, Deliver, Effect, SendLetter
from whisperer.shard.machine import Shard
from whisperer.shard.records import (
    RECORD_VERSION,
    Asked,
    CampaignConfig,
    ConfigPublished,
    DecisionsMade,
    Events,
    LettersArrived,
    LettersConfirmed,
    Outcome,
    Outcomes,
    Receipts,
    Record,
    RecordBody,
    RewardsTaken,
    Tick,
)
from whisperer.simulation.history import ASKED, SENT, Fact, block_of
from whisperer.simulation.plan import SimulationPlan
from whisperer.simulation.tally import CampaignTally

BLOCK_EVENTS = 32_768
MOST_STEPS = 4_000
"""The most steps of the clock from beginning to end: 28 days take steps of ten minutes."""
SHORTEST_STEP_MS = 60_000
MOST_RENDERED = 20_000
"""How many messages are rendered; later ones are assumed to render."""

_MAX_IDS = 1 << 17
"""Size of the dedup index, which has nothing to find here."""
_NO_DECISION = DecisionId("")
_STATED = (OutcomeKind.UNSUBSCRIBED, OutcomeKind.COMPLAINED, OutcomeKind.BOUNCED)

Choose = Callable[[Sequence[Candidate]], list[Choice]]
Render = Callable[[RenderRequest], Rendered | NotRendered]


class Replay:
    """Replay one campaign: :meth:`bring` the events in order of time, then :meth:`finish`.

    Parameters
    ----------
    choose : the policy
    render : returns a message's content, or why there is none
    facts : in order of time
    """

    def __init__(self, plan: SimulationPlan, choose: Choose, render: Render, facts: Sequence[Fact] = ()) -> None:
        self.shard = Shard(0, _MAX_IDS)
        self.tenant = self.shard.tenant(plan.tenant)
        self.tally = CampaignTally(plan.campaign)
        self.n_events = 0
        self.n_goal_events = 0
        self.not_rendered: dict[str, NotRendered] = {}
        """Template -> an example of what went wrong."""
        self._plan, self._choose, self._render, self._facts = plan, choose, render, facts
        self._goal = plan.campaign.goal.event
        self._step_ms = max(SHORTEST_STEP_MS, (plan.until - plan.since) // MOST_STEPS)
        self._next_fact = 0
        self._position = 0
        self._stepped_to: int | None = None
        """The clock's last step; None before the campaign is published."""
        self._n_rendered = 0

    def bring(self, events: pa.RecordBatch) -> None:
        """Replay the next events (:data:`whisperer.simulation.history.COLUMNS`), except those at or after ``until``."""
        at = events["at"].to_numpy(zero_copy_only=False)
        stop = int(np.searchsorted(at, self._plan.until))
        self.n_goal_events += int(np.sum(events["event"].slice(0, stop).to_numpy(zero_copy_only=False) == self._goal))
        start = 0
        while start < stop:
            moment = int(at[start])
            if moment < self._plan.since:
                end = self._plan.since
            else:
                self._pass_until(moment)
                end = moment - (moment - self._plan.since) % self._step_ms + self._step_ms
            upto = min(int(np.searchsorted(at, end)), start + BLOCK_EVENTS, stop)
            for part in self._apart(events.slice(start, upto - start)):
                self._events(part, int(part["at"][-1].as_py()))
            start = upto

    def finish(self) -> Account:
        """Let time pass until the end; return the campaign's sums as the shard has them.

        Raises
        ------
        InvariantError
            Shard and tally disagree, or a candidate is unaccounted for.
        """
        self._pass_until(self._plan.until)
        account, counted = self.tenant.loop.account(self._plan.name), self.tally.total
        told = (account.candidates, account.sent, account.no_send, dict(account.refused))
        if account.balance or told != (counted.candidates, counted.sent, counted.no_send, dict(counted.refused)):
            raise InvariantError(f"the shard counted {told}, its log says {counted}")
        return account

    # -- time -------------------------------------------------------------------------------------------------------

    def _pass_until(self, moment: int) -> None:
        """Move the clock to ``moment`` step by step: facts become known, and whatever is due happens."""
        if self._stepped_to is None:
            self._stepped_to = self._plan.since
            self._publish()
        while (to := min(self._stepped_to + self._step_ms, moment)) > self._stepped_to:
            self._stepped_to = to
            self._learn_facts(to)
            self._tick(to)

    def _publish(self) -> None:
        plan = self._plan
        self._learn_facts(plan.since)
        live = CampaignConfig(plan.name, plan.version, CampaignStatus.LIVE, plan.definition)
        self._do(ConfigPublished(plan.tenant, 1, plan.segments, [live], plan.experiment), plan.since)
        self._tick(plan.since)

    def _tick(self, now: int) -> None:
        now = max(now, self.shard.now)
        while self.shard.wants_tick(now):
            self._do(Tick(), now)
        rewards = self.tenant.loop.rewards
        if len(rewards):
            self._do(RewardsTaken(self._plan.tenant, rewards.next), now)

    def _learn_facts(self, until: int) -> None:
        now = max(until, self.shard.now)
        while self._next_fact < len(self._facts) and self._facts[self._next_fact].at <= until:
            fact = self._facts[self._next_fact]
            self._next_fact += 1
            key = self._home_of(fact.user_key)
            if key is None:
                continue
            if fact.kind == SENT:
                row = self.tenant.people.keys.get(key)
                assert row is not None
                sent = Sent(fact.at, fact.campaign, fact.channel, SendKey(fact.detail))
                caps.record(self.tenant.loop.engagement(row).standing, sent)
            elif fact.kind == ASKED and fact.at >= self._plan.since:
                self._do(Asked(self._plan.tenant, self._plan.name, [(key, fact.detail)]), now)
            elif fact.kind in _STATED:
                told = Outcome(
                    key, _NO_DECISION, OutcomeKind(fact.kind), fact.at, "", fact.channel, self._plan.campaign.purpose
                )
                self._do(Outcomes(self._plan.tenant, [told]), now)

    def _home_of(self, key: UserKey) -> UserKey | None:
        """Return the key that a user has now, after merges; None for a user who does not exist yet."""
        people = self.tenant.people
        for _ in range(len(people.targets) + 1):
            row = people.keys.get(key)
            if row is None or people.table["status"][row] != FORWARDED:
                return None if row is None else key
            key = people.targets[row]
        raise InvariantError(f"forwards of {key} run in a circle")

    def _apart(self, events: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        """Split events so that no part triggers a user twice: live, the first is long decided when the second comes."""
        called: set[str] = set()
        start = 0
        trigger = self._plan.campaign.trigger
        named = events["event"].to_numpy(zero_copy_only=False) == getattr(trigger, "event", None)
        for place in np.flatnonzero(named).tolist():
            key = events["user_key"][place].as_py()
            if key in called:
                yield events.slice(start, place - start)
                start, called = place, set()
            called.add(key)
        yield events.slice(start)

    # -- records and what they ask for ------------------------------------------------------------------------------

    def _events(self, events: pa.RecordBatch, now: int) -> None:
        self.n_events += events.num_rows
        self._do(Events(encode_block(block_of(self._plan.tenant, events))), max(now, self.shard.now))

    def _do(self, body: RecordBody, now: int) -> None:
        """Write a record, and answer what it asks for until nothing more is asked."""
        effects = self._write(body, now)
        while effects:
            letters = [effect.letter for effect in effects if isinstance(effect, SendLetter)]
            asked = [effect.candidate for effect in effects if isinstance(effect, Decide)]
            under_way = [effect.decision_id for effect in effects if isinstance(effect, Deliver)]
            effects = []
            if letters:
                effects += self._write(LettersArrived(letters), now)
                self._write(LettersConfirmed([(one.tenant, one.source, one.sequence) for one in letters]), now)
            if asked:
                effects += self._write(DecisionsMade(self._plan.tenant, self._choose(asked)), now)
            if under_way:
                receipts = [(id, receipt) for id in under_way if (receipt := self._receipt(id, now)) is not None]
                effects += self._write(Receipts(self._plan.tenant, receipts), now)

    def _write(self, body: RecordBody, now: int) -> list[Effect]:
        effects = self.shard.apply([(self._position, Record(RECORD_VERSION, 1, now, body))])
        self._position += 1
        for rows in self.shard.log.values():
            self.tally.take(rows)
        self.shard.forget_exported(self._position)
        return effects

    def _receipt(self, decision_id: DecisionId, now: int) -> Receipt | None:
        prepared = sending.prepare(self.tenant, decision_id, now)
        if not isinstance(prepared, RenderRequest):
            return prepared
        if self._n_rendered < MOST_RENDERED:
            self._n_rendered += 1
            found = self._render(prepared)
            if isinstance(found, NotRendered):
                self.not_rendered.setdefault(prepared.template, found)
                return Receipt(prepared.send_key, Verdict.REFUSED, detail=found.reason)
        return Receipt(prepared.send_key, Verdict.ACCEPTED, "simulated", locale=prepared.locale)
