"""What versions came to in this replica, and the round that brings everybody's counts to the guardrails.

A replica counts what it answers and tells the learner the totals, which knows the other replicas' and what decisions
earned (:mod:`actors.tallies`); what the learner answers goes to the control plane, which rolls back what breaches a
guardrail. Totals, not differences: a round that is lost or made twice changes nothing, and it does not matter which
replica brings them. Leaves to others: what is a breach (:mod:`whisperer.models.guardrails`).
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from serve_apps.decisions.models import Policy, Serving
from serve_apps.decisions.scoring import LATE, REASONS, Question, Stage
from whisperer.errors import NotFoundError, UnavailableError
from whisperer.models.errors import RolloutError
from whisperer.models.guardrails import Breach, Tally

EVERY_S = 2.0

Totals = list[tuple[str, str, int, dict[int, Tally]]]
"""(tenant, policy, when its stage began, by version)."""
Tell = Callable[[dict[str, Any]], Awaitable[bytes]]
"""The learner's ``served``: a replica's report for everybody's totals. Raises UnavailableError."""

_log = logging.getLogger(__name__)
_decode = msgspec.msgpack.Decoder(Totals).decode


class Plane(Protocol):
    def tally_policy(self, tenant: str, name: str, since: int, tallies: Mapping[int, Tally]) -> list[Breach]: ...


class Counts:
    """Attributes
    ----------
    scored, shadow : decisions that a version scored, and that one in shadow did
    without : decisions that were made without the version whose turn it was, by reason
    """

    def __init__(self) -> None:
        self._served: dict[tuple[Stage, int], list[int]] = {}
        self.scored = self.shadow = 0
        self.without: Counter[str] = Counter(dict.fromkeys(REASONS, 0))

    def count(self, questions: Iterable[Question]) -> None:
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
        """Stages that are over."""
        now = {(*policy, held.rollout.since) for policy, held in serving.items()}
        self._served = {key: counts for key, counts in self._served.items() if key[0] in now}

    def report(self) -> dict[str, Any]:
        """For the learner: totals since each stage, or this replica, began."""
        served = [(*stage, version, *counts) for (stage, version), counts in self._served.items()]
        return {"served": served, **self.status()}

    def status(self) -> dict[str, Any]:
        return {"scored": self.scored, "shadow": self.shadow, "without": dict(self.without)}


class Tallying:
    def __init__(self, counts: Counts, tell: Tell, plane: Plane) -> None:
        self._counts = counts
        self._tell = tell
        self._plane = plane
        self._told: dict[tuple[str, str], tuple[int, dict[int, Tally]]] = {}

    async def round(self, serving: Mapping[Policy, Serving]) -> list[Breach]:
        """Tell the learner, and the control plane what is new. Raises UnavailableError while the learner is away."""
        self._counts.forget(serving)
        totals = _decode(await self._tell(self._counts.report()))
        found: list[Breach] = []
        for tenant, name, since, tallies in totals:
            held = serving.get((tenant, name))
            # A replica that has not heard of the stage yet says nothing of it.
            if held is None or held.rollout.since != since or self._told.get((tenant, name)) == (since, tallies):
                continue
            state = held.rollout
            mine = {version: one for version, one in tallies.items() if version in (state.live, state.candidate)}
            try:
                found += await asyncio.to_thread(self._plane.tally_policy, tenant, name, since, mine)
            except (RolloutError, NotFoundError):
                continue  # the stage has just ended; the next poll tells
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
