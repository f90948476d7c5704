"""What a campaign's candidates came to: candidates = sent + no_send + refused + pending, at every moment.

Counted where it happens and moved with whoever moves: a pending candidate that leaves with its partition is taken off
here and added there, so that the sum over all shards stays exact. All integers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from whisperer.journeys.engagement import Engagement, Exposure


@dataclass(slots=True)
class ArmAccount:
    """Decisions of one group that chose one arm and whose reward is final."""

    decisions: int = 0
    sent: int = 0
    converted: int = 0
    reward_micros: int = 0


@dataclass(slots=True)
class GroupAccount:
    """Users of one group since their first decision: n, and sums over users of what the goal brought, of its square and
    of its size without the sign. The last is not stored: it is counted again from the users where sums are loaded
    (:func:`count_sizes`)."""

    users: int = 0
    total_milli: int = 0
    squares_milli2: int = 0
    absolute_milli: int = 0


@dataclass(slots=True)
class Account:
    """One campaign's sums in one shard."""

    candidates: int = 0
    sent: int = 0
    no_send: int = 0
    pending: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    conversions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    conflicted: int = 0
    """Users left out of the comparison because a merge joined two groups."""
    arms: dict[tuple[str, str], ArmAccount] = field(default_factory=dict)
    groups: dict[str, GroupAccount] = field(default_factory=dict)
    unknown: int = 0
    """Of ``sent``: those that no provider has answered for."""

    @property
    def balance(self) -> int:
        """0 at every moment."""
        return self.candidates - self.sent - self.no_send - self.pending - sum(self.refused.values())

    def expose(self, group: str, conflicted: bool, exposure: Exposure, sign: int) -> None:
        """Add (sign 1) or take off (-1) one user's part in the experiment."""
        if conflicted:
            self.conflicted += sign
            return
        account = self.groups.setdefault(group, GroupAccount())
        account.users += sign
        account.total_milli += sign * exposure.goal_milli
        account.squares_milli2 += sign * exposure.goal_milli**2
        account.absolute_milli += sign * abs(exposure.goal_milli)

    def add(self, other: Account) -> None:
        """Take over another shard's sums."""
        self.candidates += other.candidates
        self.sent += other.sent
        self.no_send += other.no_send
        self.pending += other.pending
        self.refused.update(other.refused)
        self.conversions += other.conversions
        self.outcomes.update(other.outcomes)
        self.conflicted += other.conflicted
        self.unknown += other.unknown
        for place, theirs in other.arms.items():
            ours = self.arm(*place)
            ours.decisions += theirs.decisions
            ours.sent += theirs.sent
            ours.converted += theirs.converted
            ours.reward_micros += theirs.reward_micros
        for name, group in other.groups.items():
            held = self.groups.setdefault(name, GroupAccount())
            held.users += group.users
            held.total_milli += group.total_milli
            held.squares_milli2 += group.squares_milli2
            held.absolute_milli += group.absolute_milli

    def arm(self, group: str, arm: str) -> ArmAccount:
        return self.arms.setdefault((group, arm), ArmAccount())


def expose_all(accounts: dict[str, Account], engagement: Engagement, sign: int) -> None:
    """Add or take off a user's part in every campaign."""
    assignment = engagement.standing.assignment
    if assignment is None:
        return
    for campaign, exposure in engagement.exposures.items():
        accounts.setdefault(campaign, Account()).expose(assignment.group, assignment.conflicted, exposure, sign)


def count_sizes(accounts: dict[str, Account], engagement: Engagement) -> None:
    """Add a user's part in what is not stored of the sums."""
    assignment = engagement.standing.assignment
    if assignment is None or assignment.conflicted:
        return
    for campaign, exposure in engagement.exposures.items():
        groups = accounts.setdefault(campaign, Account()).groups
        groups.setdefault(assignment.group, GroupAccount()).absolute_milli += abs(exposure.goal_milli)


class StoredAccount(msgspec.Struct, array_like=True):
    """Sums of money are text: in a currency of large numbers they outgrow 64 bits."""

    campaign: str
    candidates: int
    sent: int
    no_send: int
    pending: int
    refused: dict[str, int]
    conversions: int
    outcomes: dict[str, int]
    conflicted: int
    arms: list[tuple[str, str, int, int, int, str]]
    groups: list[tuple[str, int, str, str]]
    unknown: int = 0


def store(campaign: str, account: Account) -> StoredAccount:
    return StoredAccount(
        campaign,
        account.candidates,
        account.sent,
        account.no_send,
        account.pending,
        dict(account.refused),
        account.conversions,
        dict(account.outcomes),
        account.conflicted,
        [(*place, a.decisions, a.sent, a.converted, str(a.reward_micros)) for place, a in account.arms.items()],
        [(group, g.users, str(g.total_milli), str(g.squares_milli2)) for group, g in account.groups.items()],
        account.unknown,
    )


def restore(stored: StoredAccount) -> Account:
    return Account(
        stored.candidates,
        stored.sent,
        stored.no_send,
        stored.pending,
        Counter(stored.refused),
        stored.conversions,
        Counter(stored.outcomes),
        stored.conflicted,
        {(group, arm): ArmAccount(n, sent, won, int(reward)) for group, arm, n, sent, won, reward in stored.arms},
        {group: GroupAccount(users, int(total), int(squares)) for group, users, total, squares in stored.groups},
        stored.unknown,
    )
