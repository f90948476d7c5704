"""Counts what versions did in this replica, and brings everybody's counts to the guardrails.

A replica counts what it answers and reports its totals to the learner, which knows the other replicas' totals and what
decisions earned (:mod:`actors.learner.tallies`). The learner's answer goes to the control plane, which rolls back
whatever breaches a guardrail. Reports are totals, not differences: a lost or repeated round changes nothing, and any
replica can bring them. What counts as a breach is left to :mod:`whisperer.models.guardrails`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from actors.calls.learner_views import ModelAnswers, ServedVersion, VersionsReport
from serve_apps.decisions.models import Policy, Serving
from serve_apps.decisions.scoring import LATE, REASONS, Question, Stage
from whisperer.errors import NotFoundError, UnavailableError
from whisperer.ids import TenantId
from whisperer.models.errors import RolloutError
from whisperer.models.guardrails import Breach, VersionTally

EVERY_S = 2.0

Totals = list[tuple[TenantId, str, int, dict[int, VersionTally]]]
"""(tenant, policy, when its stage began, tallies by version)."""
Tell = Callable[[VersionsReport], Awaitable[bytes]]
"""The learner's ``served``: takes a replica's report and returns everybody's totals. Raises UnavailableError."""

_log = logging.getLogger(__name__)
_decode = msgspec.msgpack.Decoder(Totals).decode


class Plane(Protocol):
    def tally_policy(
        self, tenant: TenantId, name: str, since: int, tallies: Mapping[int, VersionTally]
    ) -> list[Breach]: ...


class VersionCounts:
    """What versions did in this replica.

    Attributes
    ----------
    scored, shadow : decisions that a deciding version scored, and that one in shadow scored
    without : decisions made without the version they were assigned to, by reason
    """

    def __init__(self) -> None:
        self._served: dict[tuple[Stage, int], list[int]] = {}
        self.scored = self.shadow = 0
        self.without: Counter[str] = Counter(dict.fromkeys(REASONS, 0))

    def count(self, questions: Iterable[Question]) -> None:
        """Count the answers, or faults, of versions that were asked."""
        for question in questions:
            n = question.n_decided
            held = self._served.setdefault((question.stage, question.version), [0, 0, 0])
            held[0] += n
            held[1] += n * (question.fault not in ("", LATE))
            held[2] += n * (question.fault == LATE)
            if question.fault and not question.is_shadow:
                self.without[question.fault] += n
            elif question.scores is not None:
                self.scored += n * (not question.is_shadow)
                self.shadow += n * question.is_shadow

    def forget(self, serving: Mapping[Policy, Serving]) -> None:
        """Drop the counts of stages that are over."""
        now = {(*policy, held.rollout.since) for policy, held in serving.items()}
        self._served = {key: counts for key, counts in self._served.items() if key[0] in now}

    def report(self) -> VersionsReport:
        """Return the report for the learner: totals since each stage, or this replica, began."""
        served = [ServedVersion(*stage, version, *counts) for (stage, version), counts in self._served.items()]
        return VersionsReport(self.scored, self.shadow, dict(self.without), served)

    def status(self) -> ModelAnswers:
        """Return what decisions got from models since this replica began."""
        return ModelAnswers(self.scored, self.shadow, dict(self.without))


class Tallying:
    """Brings counts to the learner, and everybody's totals to the control plane."""

    def __init__(self, counts: VersionCounts, tell: Tell, plane: Plane) -> None:
        self._counts = counts
        self._tell = tell
        self._plane = plane
        self._told: dict[tuple[TenantId, str], tuple[int, dict[int, VersionTally]]] = {}

    async def round(self, serving: Mapping[Policy, Serving]) -> list[Breach]:
        """Report to the learner, then pass what is new to the control plane. Raises UnavailableError while the learner
        is away."""
        self._counts.forget(serving)
        totals = _decode(await self._tell(self._counts.report()))
        found: list[Breach] = []
        for tenant, name, since, tallies in totals:
            held = serving.get((tenant, name))
            # A replica that has not heard of the stage yet does not report it.
            if held is None or held.rollout.since != since or self._told.get((tenant, name)) == (since, tallies):
                continue
            state = held.rollout
            mine = {version: one for version, one in tallies.items() if version in (state.live, state.candidate)}
            try:
                found += await asyncio.to_thread(self._plane.tally_policy, tenant, name, since, mine)
            except (RolloutError, NotFoundError):
                continue  # the stage has just ended; the next poll will show it
            self._told[tenant, name] = since, tallies
        for breach in found:
            _log.warning("rolled back: %s", breach.reason)
        return found

    async def forever(self, serving: Callable[[], Mapping[Policy, Serving]]) -> None:
        while True:
            try:
                await self.round(serving())
            except UnavailableError:
                pass
            except Exception:
                _log.exception("a round of tallies failed; trying again")
            await asyncio.sleep(EVERY_S)
