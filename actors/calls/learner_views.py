"""Define what the learner shows, and what replicas of the decisions application report to it.

All of it travels as plain documents (:mod:`actors.calls.plain`).
"""

from __future__ import annotations

import msgspec

from whisperer.ids import TenantId


class ModelAnswers(msgspec.Struct):
    """Count decisions that a value model scored, that one in shadow scored, and that had none, by reason."""

    scored: int
    shadow: int
    without: dict[str, int]


class ServedVersion(msgspec.Struct, array_like=True):
    """Count what one version of a value model did in one stage, which began at ``since``."""

    tenant: TenantId
    policy: str
    since: int
    version: int
    decisions: int
    failed: int
    slow: int


class VersionsReport(ModelAnswers):
    """Report what one replica's versions did: totals since each stage, or the replica, began."""

    served: list[ServedVersion]


class LearnerStatus(msgspec.Struct, kw_only=True):
    """Describe a learner that answers.

    Attributes
    ----------
    number : of the last publication
    rewards : by fate
    missing, waiting_to_mature : rewards that were skipped, and that came before their decision was final
    alarms : of drift, by kind
    campaigns_in_alarm : that explore more
    unstored : whether something counted is not durable yet
    store_s : how long the last store took
    shards_away : shard -> why
    budgets : windows that are open
    """

    state: str = "serving"
    pid: int
    number: int
    campaigns: int
    rewards: dict[str, int]
    missing: int
    waiting_to_mature: int
    alarms: dict[str, int]
    campaigns_in_alarm: int
    models: ModelAnswers
    unstored: bool
    store_s: float
    shards_away: dict[int, str]
    budgets: int


class LearnerAway(msgspec.Struct):
    """Say of a learner that does not answer only why."""

    state: str
    reason: str


AnyLearnerStatus = LearnerStatus | LearnerAway
