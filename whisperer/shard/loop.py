"""A tenant's side of the loop in one shard: who was considered, what was decided and sent, what it earned.

Holds the engagements of users (a sparse map: most users have none), and keeps everything derived from them in step:
the index of decisions, the timers, the accounts. The life of a decision is in :mod:`whisperer.shard.candidacy` (from
trigger to choice) and :mod:`whisperer.shard.outcomes` (from choice to reward).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from whisperer.decisions.decision import Choice
from whisperer.delivery.dispatch import REFUSED as NOT_HANDED_OVER
from whisperer.delivery.dispatch import UNKNOWN, Receipt
from whisperer.eligibility import consent
from whisperer.eligibility.refusal import Reason
from whisperer.eligibility.standing import Consent
from whisperer.feedback.outcome import MICROS, UNSUBSCRIBED, Reward
from whisperer.ids import key_hash, message_hash, tenant_seed
from whisperer.journeys.campaign import Campaign
from whisperer.journeys.engagement import (
    DECIDING,
    KEEP,
    NO_SEND,
    OPEN,
    REFUSED,
    SENDING,
    SENT,
    Decision,
    Engagement,
    is_past,
    remember,
)
from whisperer.journeys.merge import kept, merge
from whisperer.profiles.population import Population
from whisperer.shard.accounts import Account, count_sizes, expose_all
from whisperer.shard.live_campaigns import Campaigns
from whisperer.shard.log import LogRow, decision_row, delivery_row, reward_row
from whisperer.shard.records import CampaignConfig, Experiment
from whisperer.shard.rewards import RewardLog
from whisperer.shard.schedules import Schedules
from whisperer.shard.timers import Timers

BY_LINK = "unsubscribe link"
"""Source of a statement of consent."""

MOST_IMMATURE = 256
"""Decisions of one user beyond which the oldest that waits for its window to close waits no longer; about 0.4 MB."""

_decode_choice = msgspec.msgpack.Decoder(Choice).decode


class Wish(NamedTuple):
    """No more messages over a channel for a purpose, since ``at``; see :mod:`whisperer.eligibility.consent`."""

    channel: str
    purpose: str
    at: int


@dataclass(slots=True)
class Loop:
    tenant: str
    people: Population
    rows: list[LogRow]
    """What the record being applied has to tell the warehouse; the shard collects it."""
    campaigns: Campaigns = field(default_factory=Campaigns)
    experiment: Experiment = field(default_factory=Experiment)
    engagements: dict[int, Engagement] = field(default_factory=dict)
    """By row."""
    asleep: dict[int, Engagement] = field(default_factory=dict)
    """Those of users whose partition is not at home here: nothing happens to them and nobody counts them."""
    places: dict[str, tuple[int, Decision]] = field(default_factory=dict)
    """Decision id -> row of its user, and the decision. Changed by :meth:`_place` and :meth:`displace` alone."""
    n_under: Counter[tuple[str, int]] = field(default_factory=Counter)
    """(campaign, version) -> how many of them are under it."""
    timers: Timers = field(default_factory=Timers)
    accounts: dict[str, Account] = field(default_factory=dict)
    rewards: RewardLog = field(default_factory=RewardLog)
    schedules: Schedules = field(default_factory=Schedules)
    next_firing: tuple[int, int] | None = None
    """Number of zones it was worked out for, and when the next schedule fires; None: not worked out."""
    retained: dict[bytes, tuple[int, str, int, str]] = field(default_factory=dict)
    """Hash of a suppressed address of an erased user -> (partition, channel, at, reason)."""
    bares_addresses: bool = True
    """Whether the record being applied is of a release that takes what is unseen off addresses; not state."""
    wishes: dict[bytes, tuple[int, list[Wish]]] = field(default_factory=dict)
    """Hash of the key of a user of whom nothing is held -> (partition, what a link's reader does not want)."""

    def publish(self, campaigns: list[CampaignConfig], experiment: Experiment, now: int, *, forgets: bool) -> None:
        """Take over a tenant's published campaigns and the division of its users.

        ``forgets``: versions that no decision is under are kept no longer. Up to version 4 of records all were.
        """
        self.campaigns.publish(campaigns)
        if forgets and not self.asleep:
            self.campaigns.forget_all_but(self.n_under)
        self.schedules.publish(self.campaigns.scheduled, self.people.zones.texts, now)
        self.next_firing = None
        self.experiment = experiment

    def account(self, campaign: str) -> Account:
        found = self.accounts.get(campaign)
        if found is None:
            found = self.accounts[campaign] = Account()
        return found

    def engagement(self, row: int) -> Engagement:
        """A user's engagement, new if need be."""
        found = self.engagements.get(row)
        if found is None:
            key = self.people.keys.text(row)
            assert key is not None
            found = self.engagements[row] = self.beginning(key)
            self.wishes.pop(message_hash(key), None)
        return found

    def beginning(self, key: str) -> Engagement:
        """What an engagement begins with: what the user wished by a link while nothing was held of them."""
        new = Engagement()
        if self.wishes:
            for wish in self.wishes.get(message_hash(key), (0, []))[1]:
                consent.state(new.standing, wish.channel, wish.purpose, Consent(wish.at, False, BY_LINK))
        return new

    def wish(self, key: str, partition: int, wish: Wish) -> None:
        """Remember what a user wants of whom nothing is held: by a hash, until the user comes back."""
        _, held = self.wishes.setdefault(message_hash(key), (partition, []))
        if all((wish.channel, wish.purpose) != (known.channel, known.purpose) for known in held):
            held.append(wish)

    def was_considered(self, row: int, decision: str) -> bool:
        """Whether a candidacy was there before, also one that is in memory no longer."""
        if decision in self.places:
            return True
        held = self.engagements.get(row)
        return held is not None and is_past(held.past, decision)

    def find(self, decision: str) -> tuple[int, Decision] | None:
        """A decision that is in memory, with its user's row."""
        return self.places.get(decision)

    def open(self, row: int) -> Decision | None:
        held = self.engagements.get(row)
        return None if held is None else next((d for d in reversed(held.decisions) if d.status in OPEN), None)

    def every_open(self) -> Iterator[tuple[int, Decision]]:
        for row, held in self.engagements.items():
            for decision in held.decisions:
                if decision.status in OPEN:
                    yield row, decision

    # -- a decision's way -----------------------------------------------------------------------------------------

    def admit(self, row: int, decision: Decision) -> None:
        """A new candidacy: counted as pending."""
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
        """A user who is asked about at every turn: the oldest window closes early, so that memory stays bounded."""
        waiting = (d for d in held.decisions if d.mature_at >= 0 and not d.matured)
        oldest = next(waiting, None)
        if oldest is not None:
            oldest.early_at = -1
            self.reward(oldest, now, mature=True)

    def close(self, decision: Decision, status: str, now: int, reason: str = "") -> None:
        """Pending becomes sent, no_send or refused; a message that may be with its reader is never refused."""
        assert decision.status in OPEN, f"{decision.id} is closed already"
        account = self.account(decision.campaign)
        account.pending -= 1
        if decision.send is not None and decision.send.unknown:
            status, reason = SENT, ""
            account.unknown += 1
        if status == SENT:
            account.sent += 1
        elif status == NO_SEND:
            account.no_send += 1
        else:
            account.refused[reason] += 1
        decision.status, decision.reason, decision.closed_at, decision.event = status, reason, now, b""
        if decision.chosen_at >= 0:
            self._open_window(decision, now)

    def refuse(self, decision: Decision, reason: str, now: int) -> None:
        """End an open decision without a provider's word."""
        self.close(decision, REFUSED, now, reason)
        key, partition = self.who(decision)
        if decision.send is None:
            self.rows.append(decision_row(self.tenant, key, partition, decision))
        else:
            status = UNKNOWN if decision.status == SENT else NOT_HANDED_OVER
            self.log_delivery(decision, Receipt(decision.send.send_key, status), now)

    def who(self, decision: Decision) -> tuple[str, int]:
        """Key and partition of a decision's user."""
        row = self.places[decision.id][0]
        key = self.people.keys.text(row)
        assert key is not None
        return key, int(self.people.table["partition"][row])

    def log_delivery(self, decision: Decision, receipt: Receipt, now: int) -> None:
        """Tell the warehouse about an attempt, after it was applied."""
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
        """Outcomes count from here on: whatever was chosen, also where it was then not sent (intention to treat)."""
        campaign = self.campaigns.pinned(decision)
        window_ms = round(campaign.goal.window_s * 1000)
        decision.early_at, decision.mature_at = now + window_ms // 4, now + window_ms
        self.timers.watch(decision)

    def reward(self, decision: Decision, now: int, *, mature: bool) -> Reward:
        """Put what a decision earned so far where the learner finds it."""
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
            unsubscribed=any(outcome.kind == UNSUBSCRIBED for outcome in decision.outcomes),
            decided_at=decision.at,
        )
        decision.revision += 1
        self.rewards.append(entry)
        self.rows.append(reward_row(self.tenant, key, partition, entry))
        if mature:
            decision.matured = True
            account = self.account(decision.campaign).arm(decision.group, decision.arm)
            account.decisions += 1
            account.sent += decision.status == SENT
            account.converted += decision.converted_at >= 0
            account.reward_micros += earned
        return entry

    # -- whole users ----------------------------------------------------------------------------------------------

    def hand_over(self, row: int, now: int, reason: str) -> Engagement | None:
        """Take a user's engagement out for a merge. What is open ends here: a candidate is refused, a message that a
        provider may be accepting at this moment stays until its receipt is in.
        """
        held = self.engagements.pop(row, None)
        if held is None:
            return None
        expose_all(self.accounts, held, -1)
        staying = []
        for decision in held.decisions:
            if decision.status == DECIDING:
                self.refuse(decision, reason, now)
            if decision.status == SENDING:
                staying.append(decision)
            else:
                self.displace(decision.id)
        held.decisions = [d for d in held.decisions if d.status not in OPEN]
        if staying:
            self.engagements[row] = Engagement(decisions=staying)
        held.pinned = self.campaigns.pinned_by(held.decisions)
        return held

    def let_go(self, row: int) -> Engagement | None:
        """Take a user's engagement out because the partition leaves: what is open goes along."""
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
        """The user's partition leaves; until the new home has it, what was between us and the user is kept here."""
        held = self.let_go(row)
        if held is not None:
            self.asleep[row] = held

    def wake(self, row: int) -> None:
        """The user's partition has come."""
        self.take_in(row, self.asleep.pop(row))

    def take_in(self, row: int, arriving: Engagement) -> None:
        """Add an engagement that was handed over, or came with its partition, to a user."""
        self.campaigns.learn(arriving.pinned)
        arriving.pinned = []
        # A key that was erased and came back may have been considered for the same occurrence again: one of them stays.
        arriving.decisions = [d for d in arriving.decisions if self.places.get(d.id, (row,))[0] == row]
        key = self.people.keys.text(row)
        if self.wishes and key is not None and message_hash(key) in self.wishes:
            self.engagement(row)
        held = self.engagements.get(row)
        known: set[str] = set()
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

    def erase(self, row: int, partition: int, now: int) -> None:
        """Forget a user; of suppressions the address's hash is kept, so that coming back does not lift them."""
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
        """Index, timers and the sums that are not stored, from the engagements, after these were loaded."""
        for row, held in self.engagements.items():
            count_sizes(self.accounts, held)
            for decision in held.decisions:
                self._place(row, decision)
                self.timers.watch(decision)

    def _place(self, row: int, decision: Decision) -> None:
        self.displace(decision.id)
        self.places[decision.id] = row, decision
        self.n_under[decision.campaign, decision.campaign_version] += 1

    def displace(self, decision_id: str) -> None:
        """A decision is in memory no longer; nothing where it was not."""
        found = self.places.pop(decision_id, None)
        if found is None:
            return
        under = found[1].campaign, found[1].campaign_version
        self.n_under[under] -= 1
        if not self.n_under[under]:
            del self.n_under[under]

    def _trim(self, held: Engagement) -> None:
        """Keep what is open or immature, and the newest of the rest; the warehouse has them all."""
        if len(held.decisions) > KEEP:
            left = kept(held.decisions)
            staying = {d.id for d in left}
            gone = [d.id for d in held.decisions if d.id not in staying]
            for decision in gone:
                self.displace(decision)
            held.past = remember(held.past, gone)
            held.decisions = left


def choice_of(decision: Decision) -> Choice:
    """The choice as it was journaled; only for decisions that have one."""
    return _decode_choice(decision.choice)


def reward_micros(decision: Decision, campaign: Campaign) -> int:
    """What a decision earned so far: the goal's part up to its cap, less what it cost. Refunds count as far down."""
    goal = campaign.goal
    cap = round(goal.cap * MICROS)
    earned = max(-cap, min(decision.earned_micros, cap))
    if decision.status == SENT:
        arm = next((a for a in campaign.arms if a.id == decision.arm), None)
        earned -= round(arm.cost * MICROS) if arm else 0
    if any(outcome.kind == UNSUBSCRIBED for outcome in decision.outcomes):
        earned -= round(goal.unsubscribe_cost * MICROS)
    return earned
