"""Account for a campaign's candidates: candidates = sent + no_send + refused + pending, at every moment.

Each candidate is counted where it was decided. A pending one that leaves with its partition is subtracted here and
added at the new home, so the sum over all shards stays exact. All values are integers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import msgspec

from whisperer.journeys.engagement import Engagement, Exposure


@dataclass(slots=True)
class ArmAccount:
    """Sum the decisions of one group that chose one arm and whose reward is final."""

    decisions: int = 0
    sent: int = 0
    converted: int = 0
    reward_micros: int = 0


@dataclass(slots=True)
class GroupAccount:
    """Sum over one group's users what the goal brought since each user's first decision.

    The sums are of the value, its square and its absolute value. The last is not stored: :func:`count_sizes` computes
    it again from the users after loading.
    """

    users: int = 0
    total_milli: int = 0
    squares_milli2: int = 0
    absolute_milli: int = 0


@dataclass(slots=True)
class Account:
    """Hold one campaign's sums in one shard."""

    candidates: int = 0
    sent: int = 0
    no_send: int = 0
    pending: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    conversions: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    conflicted: int = 0
    """Users left out of lift because a merge joined two groups."""
    arms: dict[tuple[str, str], ArmAccount] = field(default_factory=dict)
    groups: dict[str, GroupAccount] = field(default_factory=dict)
    unknown: int = 0
    """How many of ``sent`` no provider has confirmed."""

    @property
    def balance(self) -> int:
        """Return candidates less everything they are accounted for as: always 0."""
        return self.candidates - self.sent - self.no_send - self.pending - sum(self.refused.values())

    def expose(self, group: str, conflicted: bool, exposure: Exposure, sign: int) -> None:
        """Add (sign 1) or subtract (sign -1) one user's part in the experiment."""
        if conflicted:
            self.conflicted += sign
            return
        account = self.groups.setdefault(group, GroupAccount())
        account.users += sign
        account.total_milli += sign * exposure.goal_milli
        account.squares_milli2 += sign * exposure.goal_milli**2
        account.absolute_milli += sign * abs(exposure.goal_milli)

    def add(self, other: Account) -> None:
        """Add another account's sums to this one."""
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
        """Return the sums of one arm in one group, created if missing."""
        return self.arms.setdefault((group, arm), ArmAccount())


def expose_all(accounts: dict[str, Account], engagement: Engagement, sign: int) -> None:
    """Add (sign 1) or subtract (sign -1) a user's part in every campaign's experiment."""
    assignment = engagement.standing.assignment
    if assignment is None:
        return
    for campaign, exposure in engagement.exposures.items():
        accounts.setdefault(campaign, Account()).expose(assignment.group, assignment.conflicted, exposure, sign)


def count_sizes(accounts: dict[str, Account], engagement: Engagement) -> None:
    """Add a user's part to the sums that are not stored (``absolute_milli``)."""
    assignment = engagement.standing.assignment
    if assignment is None or assignment.conflicted:
        return
    for campaign, exposure in engagement.exposures.items():
        groups = accounts.setdefault(campaign, Account()).groups
        groups.setdefault(assignment.group, GroupAccount()).absolute_milli += abs(exposure.goal_milli)


class StoredAccount(msgspec.Struct, array_like=True):
    """Hold an account as stored. Sums of money are text: in a currency with large amounts they outgrow 64 bits."""

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
    """Convert an account into its stored form; :func:`restore` reverses it."""
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
    """Rebuild an account from its stored form, with ``absolute_milli`` 0 until :func:`count_sizes` runs."""
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
