"""Hold one tenant's part of the loop in one shard: who was considered, what was decided and sent, what it earned.

Holds the engagements of users (a sparse map: most users have none), and keeps everything derived from them in step: the
index of decisions, the timers, the accounts. Leaves the steps of a decision to
:mod:`whisperer.shard.decision.candidacy` (from trigger to choice) and :mod:`whisperer.shard.decision.outcomes` (from
choice to reward).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from whisperer.decisions.decision import Choice
from whisperer.delivery.dispatch import Receipt, Verdict
from whisperer.eligibility import consent
from whisperer.eligibility.standing import Consent
from whisperer.feedback.outcome import OutcomeKind, Reward
from whisperer.ids import DecisionId, Partition, TenantId, UserKey, key_hash, message_hash, tenant_seed
from whisperer.journeys.campaign import Campaign
from whisperer.journeys.engagement import KEEP, OPEN, Decision, DecisionStatus, Engagement, is_past, remember
from whisperer.journeys.merge import kept, merge
from whisperer.profiles.population import Population
from whisperer.shard.accounts import Account, count_sizes, expose_all
from whisperer.shard.records import CampaignConfig, Experiment
from whisperer.shard.state.live_campaigns import LiveCampaigns
from whisperer.shard.state.log import LogRow, decision_row, delivery_row, reward_row
from whisperer.shard.state.rewards import RewardLog
from whisperer.shard.state.schedules import Schedules
from whisperer.shard.state.timers import Timers
from whisperer.vocabulary.reasons import Reason
from whisperer.vocabulary.units import MICROS

BY_LINK = "unsubscribe link"
"""Source of a consent statement made by a link."""

BY_REPLY = "reply"
"""Source of a consent statement made by a reply, and the detail of its outcome."""

MOST_IMMATURE = 256
"""Decisions of one user beyond which the oldest open window closes early; about 0.4 MB."""

_decode_choice = msgspec.msgpack.Decoder(Choice).decode


class Wish(NamedTuple):
    """State that a user wants no more messages on a channel for a purpose, since ``at`` (ms UTC).

    See :mod:`whisperer.eligibility.consent`.
    """

    channel: str
    purpose: str
    at: int


@dataclass(slots=True)
class Loop:
    """Hold a tenant's engagements in one shard, with all that is derived from them."""

    tenant: TenantId
    people: Population
    rows: list[LogRow]
    """Rows for the warehouse from the record being applied; the shard collects them."""
    campaigns: LiveCampaigns = field(default_factory=LiveCampaigns)
    experiment: Experiment = field(default_factory=Experiment)
    engagements: dict[int, Engagement] = field(default_factory=dict)
    """By row."""
    asleep: dict[int, Engagement] = field(default_factory=dict)
    """By row, for users whose partition is not at home here: nothing changes or counts them."""
    places: dict[DecisionId, tuple[int, Decision]] = field(default_factory=dict)
    """Decision id -> (its user's row, the decision). Changed only by :meth:`_place` and :meth:`displace`."""
    n_under: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(campaign, version) -> how many decisions in ``places`` are under it."""
    timers: Timers = field(default_factory=Timers)
    accounts: dict[str, Account] = field(default_factory=dict)
    rewards: RewardLog = field(default_factory=RewardLog)
    schedules: Schedules = field(default_factory=Schedules)
    next_firing: tuple[int, int] | None = None
    """(number of zones it was computed for, ms UTC when the next schedule fires); None: not computed yet."""
    retained: dict[bytes, tuple[Partition, str, int, str]] = field(default_factory=dict)
    """Hash of a suppressed address of an erased user -> (partition, channel, at, reason)."""
    bares_addresses: bool = True
    """Whether the release that wrote the record being applied strips invisible characters from addresses; not state."""
    wishes: dict[bytes, tuple[Partition, list[Wish]]] = field(default_factory=dict)
    """Hash of the key of a user of whom nothing is held -> (partition, what they unsubscribed from by a link)."""

    def publish(self, campaigns: list[CampaignConfig], experiment: Experiment, now: int, *, forgets: bool) -> None:
        """Replace a tenant's published campaigns and the division of its users into groups.

        ``forgets``: drop campaign versions that no decision is under. Up to record version 4 all were kept.
        """
        self.campaigns.publish(campaigns)
        if forgets and not self.asleep:
            self.campaigns.forget_all_but(self.n_under)
        self.schedules.publish(self.campaigns.scheduled, self.people.zones.texts, now)
        self.next_firing = None
        self.experiment = experiment

    def account(self, campaign: str) -> Account:
        """Return a campaign's account, created if missing."""
        found = self.accounts.get(campaign)
        if found is None:
            found = self.accounts[campaign] = Account()
        return found

    def engagement(self, row: int) -> Engagement:
        """Return a user's engagement, created if missing."""
        found = self.engagements.get(row)
        if found is None:
            key = self.people.keys.text(row)
            assert key is not None
            found = self.engagements[row] = self.beginning(key)
            self.wishes.pop(message_hash(key), None)
        return found

    def beginning(self, key: UserKey) -> Engagement:
        """Return a new engagement with what the user unsubscribed from while nothing was held of them."""
        new = Engagement()
        if self.wishes:
            for wish in self.wishes.get(message_hash(key), (0, []))[1]:
                consent.state(new.standing, wish.channel, wish.purpose, Consent(wish.at, False, BY_LINK))
        return new

    def wish(self, key: UserKey, partition: Partition, wish: Wish) -> None:
        """Remember, under a hash, the wish of a user of whom nothing is held, until the user comes back."""
        _, held = self.wishes.setdefault(message_hash(key), (partition, []))
        if all((wish.channel, wish.purpose) != (known.channel, known.purpose) for known in held):
            held.append(wish)

    def was_considered(self, row: int, decision: DecisionId) -> bool:
        """Return whether a user was considered under this decision id before, even if it has left memory."""
        if decision in self.places:
            return True
        held = self.engagements.get(row)
        return held is not None and is_past(held.past, decision)

    def find(self, decision: DecisionId) -> tuple[int, Decision] | None:
        """Return (row of its user, decision) for a decision in memory, else None."""
        return self.places.get(decision)

    def open(self, row: int) -> Decision | None:
        """Return a user's open decision, if there is one."""
        held = self.engagements.get(row)
        return None if held is None else next((d for d in reversed(held.decisions) if d.status in OPEN), None)

    def every_open(self) -> Iterator[tuple[int, Decision]]:
        """Yield (row, decision) for every open decision."""
        for row, held in self.engagements.items():
            for decision in held.decisions:
                if decision.status in OPEN:
                    yield row, decision

    # -- a decision's life ----------------------------------------------------------------------------------------

    def admit(self, row: int, decision: Decision) -> None:
        """Add a new candidacy, counted as pending."""
        held = self.engagement(row)
        held.decisions.append(decision)
        self._place(row, decision)
        account = self.account(decision.campaign)
        account.candidates += 1
        account.pending += 1
        if len(held.decisions) > MOST_IMMATURE:
            self._mature_oldest(held, decision.at)
        self._trim(held)

    def _mature_oldest(self, held: Engagement, now: int) -> None:
        """Close a user's oldest window early, so that memory stays bounded for a user who is considered constantly."""
        waiting = (d for d in held.decisions if d.mature_at >= 0 and not d.matured)
        oldest = next(waiting, None)
        if oldest is not None:
            oldest.early_at = -1
            self.reward(oldest, now, mature=True)

    def close(self, decision: Decision, status: DecisionStatus, now: int, reason: str = "") -> None:
        """Close an open decision as sent, no_send or refused; a message its reader may have is never refused."""
        assert decision.status in OPEN, f"{decision.id} is closed already"
        account = self.account(decision.campaign)
        account.pending -= 1
        if decision.send is not None and decision.send.unknown:
            status, reason = DecisionStatus.SENT, ""
            account.unknown += 1
        if status == DecisionStatus.SENT:
            account.sent += 1
        elif status == DecisionStatus.NO_SEND:
            account.no_send += 1
        else:
            account.refused[reason] += 1
        decision.status, decision.reason, decision.closed_at, decision.event = status, reason, now, b""
        if decision.chosen_at >= 0:
            self._open_window(decision, now)

    def reopen(self, decision: Decision, status: DecisionStatus) -> None:
        """Take back that a decision was refused; its window opens again when it is closed."""
        assert decision.status == DecisionStatus.REFUSED, f"{decision.id} was not refused"
        assert not decision.matured, f"what {decision.id} earned is final"
        account = self.account(decision.campaign)
        account.pending += 1
        account.refused[decision.reason] -= 1
        if not account.refused[decision.reason]:
            del account.refused[decision.reason]
        decision.status, decision.reason, decision.closed_at = status, "", -1
        decision.early_at = decision.mature_at = -1

    def refuse(self, decision: Decision, reason: str, now: int) -> None:
        """Close an open decision as refused, without an answer from a provider."""
        self.close(decision, DecisionStatus.REFUSED, now, reason)
        key, partition = self.who(decision)
        if decision.send is None:
            self.rows.append(decision_row(self.tenant, key, partition, decision))
        else:
            status = Verdict.UNKNOWN if decision.status == DecisionStatus.SENT else Verdict.REFUSED
            self.log_delivery(decision, Receipt(decision.send.send_key, status), now)

    def who(self, decision: Decision) -> tuple[UserKey, Partition]:
        """Return the key and partition of a decision's user."""
        row = self.places[decision.id][0]
        key = self.people.keys.text(row)
        assert key is not None
        return key, self.people.partition(row)

    def log_delivery(self, decision: Decision, receipt: Receipt, now: int) -> None:
        """Report an attempt to the warehouse, after it was applied."""
        assert decision.send is not None
        key, partition = self.who(decision)
        attempt = max(0, decision.send.attempts - 1)
        self.rows.append(
            delivery_row(
                self.tenant,
                key,
                partition,
                decision,
                receipt,
                channel=decision.send.channel,
                attempt=attempt,
                at=now,
                reason=decision.reason,
            )
        )

    def _open_window(self, decision: Decision, now: int) -> None:
        """Count outcomes from now on, whatever was chosen and even if it was not sent (intention to treat)."""
        campaign = self.campaigns.pinned(decision)
        window_ms = round(campaign.goal.window_s * 1000)
        decision.early_at, decision.mature_at = now + window_ms // 4, now + window_ms
        self.timers.watch(decision)

    def reward(self, decision: Decision, now: int, *, mature: bool) -> Reward:
        """Log what a decision has earned so far, for the learner and the warehouse; ``mature`` makes it final."""
        earned = reward_micros(decision, self.campaigns.pinned(decision))
        choice = choice_of(decision)
        key, partition = self.who(decision)
        entry = Reward(
            number=self.rewards.next,
            decision_id=decision.id,
            campaign=decision.campaign,
            campaign_version=decision.campaign_version,
            group=decision.group,
            arms=choice.arms,
            arm=choice.arm,
            propensity=choice.propensity,
            features=decision.features,
            reward_micros=earned,
            revision=decision.revision,
            mature=mature,
            at=now,
            score=choice.score,
            policy_version=choice.policy_version,
            user=key_hash(key, tenant_seed(self.tenant)),
            unsubscribed=any(outcome.kind == OutcomeKind.UNSUBSCRIBED for outcome in decision.outcomes),
            decided_at=decision.at,
        )
        decision.revision += 1
        self.rewards.append(entry)
        self.rows.append(reward_row(self.tenant, key, partition, entry))
        if mature:
            decision.matured = True
            account = self.account(decision.campaign).arm(decision.group, decision.arm)
            account.decisions += 1
            account.sent += decision.status == DecisionStatus.SENT
            account.converted += decision.converted_at >= 0
            account.reward_micros += earned
        return entry

    # -- whole users ----------------------------------------------------------------------------------------------

    def hand_over(self, row: int, now: int, reason: str) -> Engagement | None:
        """Take out a user's engagement for a merge.

        What is open ends here: a candidate is refused, and a message that a provider may be accepting at this moment
        stays until its receipt arrives.
        """
        held = self.engagements.pop(row, None)
        if held is None:
            return None
        expose_all(self.accounts, held, -1)
        staying = []
        for decision in held.decisions:
            if decision.status == DecisionStatus.DECIDING:
                self.refuse(decision, reason, now)
            if decision.status == DecisionStatus.SENDING:
                staying.append(decision)
            else:
                self.displace(decision.id)
        held.decisions = [d for d in held.decisions if d.status not in OPEN]
        if staying:
            self.engagements[row] = Engagement(decisions=staying)
        held.pinned = self.campaigns.pinned_by(held.decisions)
        return held

    def let_go(self, row: int) -> Engagement | None:
        """Take out a user's engagement because the partition leaves: what is open goes along."""
        held = self.engagements.pop(row, None)
        if held is None:
            return None
        expose_all(self.accounts, held, -1)
        for decision in held.decisions:
            self.displace(decision.id)
            if decision.status in OPEN:
                account = self.account(decision.campaign)
                account.candidates -= 1
                account.pending -= 1
        return held

    def fall_asleep(self, row: int) -> None:
        """Put a user's engagement to sleep: the partition leaves, and it is kept until the new home has it."""
        held = self.let_go(row)
        if held is not None:
            self.asleep[row] = held

    def wake(self, row: int) -> None:
        """Wake a user's engagement: the partition has arrived."""
        self.take_in(row, self.asleep.pop(row))

    def take_in(self, row: int, arriving: Engagement) -> None:
        """Add to a user an engagement that a merge handed over, or that came with its partition."""
        self.campaigns.learn(arriving.pinned)
        arriving.pinned = []
        # A key that was erased and came back may have been considered for the same occurrence twice: one stays.
        arriving.decisions = [d for d in arriving.decisions if self.places.get(d.id, (row,))[0] == row]
        key = self.people.keys.text(row)
        if self.wishes and key is not None and message_hash(key) in self.wishes:
            self.engagement(row)
        held = self.engagements.get(row)
        known: set[DecisionId] = set()
        if held is not None:
            expose_all(self.accounts, held, -1)
            known = {d.id for d in held.decisions}
        combined = arriving if held is None else merge(held, arriving)
        self.engagements[row] = combined
        expose_all(self.accounts, combined, 1)
        for decision in combined.decisions:
            self._place(row, decision)
            if decision.id not in known:
                if decision.status in OPEN:
                    account = self.account(decision.campaign)
                    account.candidates += 1
                    account.pending += 1
                self.timers.watch(decision)
        for gone in known - {d.id for d in combined.decisions}:
            self.displace(gone)

    def erase(self, row: int, partition: Partition, now: int) -> None:
        """Forget a user, except the address hashes of suppressions, so that coming back does not lift them."""
        held = self.engagements.get(row)
        if held is None:
            return
        for decision in held.decisions:
            if decision.status in OPEN:
                self.refuse(decision, Reason.ERASED, now)
            self.displace(decision.id)
        expose_all(self.accounts, held, -1)
        for channel, suppressions in held.standing.suppressed.items():
            for s in suppressions:
                self.retained.setdefault(s.address_hash, (partition, channel, s.at, s.reason))
        del self.engagements[row]

    def rebuild(self) -> None:
        """Rebuild the index, the timers and the sums that are not stored, after engagements were loaded."""
        for row, held in self.engagements.items():
            count_sizes(self.accounts, held)
            for decision in held.decisions:
                self._place(row, decision)
                self.timers.watch(decision)

    def _place(self, row: int, decision: Decision) -> None:
        self.displace(decision.id)
        self.places[decision.id] = row, decision
        self.n_under[decision.campaign, decision.campaign_version] += 1

    def displace(self, decision_id: DecisionId) -> None:
        """Remove a decision from the index; one that is not in it is ignored."""
        found = self.places.pop(decision_id, None)
        if found is None:
            return
        under = found[1].campaign, found[1].campaign_version
        self.n_under[under] -= 1
        if not self.n_under[under]:
            del self.n_under[under]

    def _trim(self, held: Engagement) -> None:
        """Keep decisions that are open or immature, and the newest of the rest; the warehouse has them all."""
        if len(held.decisions) > KEEP:
            left = kept(held.decisions)
            staying = {d.id for d in left}
            gone = [d.id for d in held.decisions if d.id not in staying]
            for decision in gone:
                self.displace(decision)
            held.past = remember(held.past, gone)
            held.decisions = left


def choice_of(decision: Decision) -> Choice:
    """Return the choice as it was journaled; the decision must have one."""
    return _decode_choice(decision.choice)


def reward_micros(decision: Decision, campaign: Campaign) -> int:
    """Return what a decision has earned so far, in millionths: the goal within ± its cap, less costs.

    Refunds lower it down to minus the cap; an unsubscription and, if sent, the arm's cost are subtracted.
    """
    goal = campaign.goal
    cap = round(goal.cap * MICROS)
    earned = max(-cap, min(decision.earned_micros, cap))
    if decision.status == DecisionStatus.SENT:
        arm = next((a for a in campaign.arms if a.id == decision.arm), None)
        earned -= round(arm.cost * MICROS) if arm else 0
    if any(outcome.kind == OutcomeKind.UNSUBSCRIBED for outcome in decision.outcomes):
        earned -= round(goal.unsubscribe_cost * MICROS)
    return earned
