"""Tally the results of each version of a value model since its stage began: replicas' answers, and decisions' rewards.

The learner keeps the tallies, because there is one learner and it sees every reward once. A user counts once in a
stage, with the final reward of the first of their decisions that matures, for the version the user was assigned to,
whether it answered or not (intention to treat); the first `MOST_USERS` of each version count, because more would not
change the verdict. Guarantees: a reward of a decision from before the stage counts for nobody; a tally is consistent
(:class:`whisperer.models.guardrails.VersionTally`), even where a replica took its counts with it when it died. Leaves
to others: what follows (`serve_apps.decisions.counting`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from actors.calls.learner_views import ModelAnswers, VersionsReport
from whisperer.decisions.versions import parsed
from whisperer.feedback.outcome import Reward
from whisperer.ids import TenantId
from whisperer.models.guardrails import VersionTally
from whisperer.vocabulary.groups import Group

MOST_USERS = 10_000
_MICROS_IN_MILLI = 1_000

Policy = tuple[TenantId, str]


class Earned(msgspec.Struct):
    """What a version earned; ``users`` are those counted, as :attr:`whisperer.feedback.outcome.Reward.user`."""

    users: set[int] = msgspec.field(default_factory=set)
    unsubscribed: int = 0
    total_milli: int = 0
    squares_milli2: int = 0
    absolute_milli: int = 0


class PolicyStage(msgspec.Struct, array_like=True):
    """The stage of one policy; ``earned`` by version."""

    tenant: TenantId
    policy: str
    since: int
    earned: dict[int, Earned]


class Tallies:
    """Keep the tallies of all policies."""

    def __init__(self) -> None:
        self._reports: dict[str, VersionsReport] = {}
        self._stages: dict[Policy, PolicyStage] = {}

    def told(self, replica: str, report: VersionsReport) -> None:
        """Keep a replica's totals, replacing those it reported before."""
        self._reports[replica] = report
        for one in report.served:
            held = self._stages.get((one.tenant, one.policy))
            if held is None or held.since < one.since:
                self._stages[one.tenant, one.policy] = PolicyStage(one.tenant, one.policy, one.since, {})

    def saw(self, tenant: TenantId, reward: Reward) -> None:
        """Count a reward; call once for each."""
        decider = parsed(reward.policy_version) if reward.mature and reward.group == Group.POLICY else None
        stage = None if decider is None else self._stages.get((tenant, decider.model))
        if decider is None or stage is None or reward.decided_at < stage.since:
            return
        earned = stage.earned.setdefault(decider.version, Earned())
        if reward.user in earned.users or len(earned.users) >= MOST_USERS:
            return
        milli = round(reward.reward_micros / _MICROS_IN_MILLI)
        earned.users.add(reward.user)
        earned.unsubscribed += reward.unsubscribed
        earned.total_milli += milli
        earned.squares_milli2 += milli**2
        earned.absolute_milli += abs(milli)

    def totals(self) -> list[tuple[TenantId, str, int, dict[int, VersionTally]]]:
        """Return (tenant, policy, since, tallies by version) of every policy that anybody serves."""
        served: Counter[tuple[Policy, int, int, str]] = Counter()
        for report in self._reports.values():
            for one in report.served:
                place = one.tenant, one.policy
                if self._stages[place].since == one.since:
                    for name, n in (("decisions", one.decisions), ("failed", one.failed), ("slow", one.slow)):
                        served[place, one.since, one.version, name] += n
        found = []
        for policy, stage in self._stages.items():
            versions = {key[2] for key in served if key[0] == policy} | set(stage.earned)
            tallies = {}
            for version in sorted(versions):
                earned = stage.earned.get(version, Earned())
                counts = {n: served[policy, stage.since, version, n] for n in ("decisions", "failed", "slow")}
                counts["decisions"] = max(counts["decisions"], len(earned.users))
                tallies[version] = VersionTally(
                    **counts,
                    unsubscribed=earned.unsubscribed,
                    users=len(earned.users),
                    total_milli=earned.total_milli,
                    squares_milli2=earned.squares_milli2,
                    absolute_milli=earned.absolute_milli,
                )
            found.append((*policy, stage.since, tallies))
        return found

    def status(self) -> ModelAnswers:
        """Return the sums of all replicas' counts since each began."""
        without: Counter[str] = Counter()
        for report in self._reports.values():
            without.update(report.without)
        scored = sum(report.scored for report in self._reports.values())
        return ModelAnswers(scored, sum(report.shadow for report in self._reports.values()), dict(without))

    def state(self) -> list[PolicyStage]:
        """Return what :meth:`restore` needs."""
        return list(self._stages.values())

    def restore(self, stages: Iterable[PolicyStage]) -> None:
        """Take up what :meth:`state` returned."""
        self._stages = {(stage.tenant, stage.policy): stage for stage in stages}
