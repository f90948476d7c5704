"""Scores a batch of candidates within a time limit: by the version each user is assigned to, and by one in shadow.

A value model may be missing, late or broken; the batch is then decided without it, and the reason is counted. Models
run in one thread, deciding versions before those in shadow. Anything not ready when the time is up is left out: nothing
waits for it, and it is dropped if it had not begun. Guarantees: a choice's label names what was actually looked at; a
shadow's scores are logged with the choice and have no part in it. Leaves to others: who decides
(:mod:`whisperer.models.rollout`), choosing (:mod:`whisperer.decisions.thompson`), and counting (:mod:`.counting`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import msgspec

from serve_apps.decisions.models import Policy, Serving
from whisperer.decisions.context import rows_of
from whisperer.decisions.decision import Candidate, Choice
from whisperer.decisions.versions import labelled
from whisperer.ids import TenantId
from whisperer.models.rollout import BUILT_IN, assignments
from whisperer.models.value import ValueModel
from whisperer.vocabulary.groups import Group

BUDGET_S = 0.050
"""Ten times what a mix of trees and ridge takes for a batch of 256: only a full machine, or a model that is far too
large, is late. A shard waits much longer."""
MISSING, LATE, BROKEN = "missing", "late", "broken"
REASONS = (MISSING, LATE, BROKEN)

Stage = tuple[TenantId, str, int]
"""(tenant, policy, when its current stage began)."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Question:
    """One version asked about some candidates, who have the same arms.

    Attributes
    ----------
    stage : of the rollout
    places : of the candidates in the batch
    is_shadow : its scores are not used
    n_decided : candidates for whom it decides, or would: not those decided by their group's rule
    scores : parallel to ``places``, once it has answered
    fault : one of REASONS if it has not
    """

    stage: Stage
    version: int
    places: list[int]
    is_shadow: bool
    n_decided: int
    model: ValueModel | None = None
    scores: list[list[float]] | None = None
    fault: str = ""


@dataclass(slots=True)
class ScoredBatch:
    """A batch after scoring: ``candidates`` as given, with scores where a version supplied them."""

    candidates: list[Candidate]
    questions: list[Question] = field(default_factory=list)

    def label(self, choices: list[Choice]) -> list[Choice]:
        """Return the choices of these candidates, in their order, labelled with what scored them."""
        for question in self.questions:
            if question.version == BUILT_IN:
                continue
            model, scores = question.stage[1], question.scores
            for at, place in enumerate(question.places):
                choice = choices[place]
                if question.is_shadow and scores is not None:
                    shadow_version = f"{model}@{question.version}"
                    choices[place] = msgspec.structs.replace(choice, shadow=scores[at], shadow_version=shadow_version)
                elif not question.is_shadow and self.candidates[place].group == Group.POLICY:
                    label = labelled(choice.policy_version, model, question.version, answered=scores is not None)
                    choices[place] = msgspec.structs.replace(choice, policy_version=label)
        return choices


class Scorer:
    """Runs the models. Use from one event loop. After ``budget_s`` a batch is decided without what is missing."""

    def __init__(self, budget_s: float = BUDGET_S) -> None:
        self._budget_s = budget_s
        self._thread = ThreadPoolExecutor(1, "scoring")

    async def score(self, candidates: list[Candidate], serving: Mapping[Policy, Serving]) -> ScoredBatch:
        """Score a batch within the budget; what is late, missing or broken is left out."""
        questions = asked(candidates, serving)
        waiting = [question for question in questions if question.model is not None]
        answers: dict[int, list[list[float]] | None] = {}
        if waiting:
            inputs = [
                (
                    question.model,
                    candidates[question.places[0]].arms,
                    [candidates[at].features for at in question.places],
                )
                for question in waiting
            ]
            in_time = threading.Event()
            in_time.set()
            work = self._thread.submit(_answer, inputs, answers, in_time)
            try:
                # Dropped if it has not begun; one that is running continues, and finds that nobody waits.
                await asyncio.wait_for(asyncio.wrap_future(work), self._budget_s)
            except TimeoutError:
                in_time.clear()
        answers = dict(answers)  # the thread may still be writing
        made = list(candidates)
        for at, question in enumerate(waiting):
            question.scores = answers.get(at)
            question.fault = "" if question.scores is not None else BROKEN if at in answers else LATE
            if question.scores is not None and not question.is_shadow:
                for place, mine in zip(question.places, question.scores, strict=True):
                    made[place] = msgspec.structs.replace(candidates[place], scores=mine)
        return ScoredBatch(made, questions)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def asked(candidates: Sequence[Candidate], serving: Mapping[Policy, Serving]) -> list[Question]:
    """Return which version is asked about whom, deciding versions first. The holdout is left out: nothing is chosen
    there."""
    by_policy: dict[Policy, list[int]] = {}
    for place, candidate in enumerate(candidates):
        policy = candidate.tenant, candidate.campaign
        if policy in serving and candidate.group != Group.HOLDOUT:
            by_policy.setdefault(policy, []).append(place)
    found: dict[tuple[Policy, int, bool, tuple[str, ...]], Question] = {}
    for policy, places in by_policy.items():
        tenant, name = policy
        state, models = serving[policy].rollout, serving[policy].models
        versions = assignments(state, name, [candidates[place].user_key for place in places], salt=tenant)
        shadow = state.candidate if state.candidate is not None and not state.share else None
        for place, version in zip(places, versions, strict=True):
            candidate = candidates[place]
            mine = version if candidate.user_key else state.live
            for number, is_shadow in ((mine, False), (shadow, True)):
                if number is None:
                    continue
                key = policy, number, is_shadow, tuple(candidate.arms)
                if key not in found:
                    model = models.get(number)
                    fault = MISSING if model is None and number != BUILT_IN else ""
                    stage = tenant, name, state.since
                    found[key] = Question(stage, number, [], is_shadow, 0, model, None, fault)
                found[key].places.append(place)
                found[key].n_decided += candidate.group == Group.POLICY
    return sorted(found.values(), key=lambda question: question.is_shadow)


def _answer(
    inputs: Sequence[tuple[ValueModel | None, list[str], list[list[float]]]],
    answers: dict[int, list[list[float]] | None],
    in_time: threading.Event,
) -> None:
    """Put each model's scores where the caller finds them, None for one that failed; stop when nobody waits."""
    for at, (model, arms, features) in enumerate(inputs):
        if model is None or not in_time.is_set():
            return
        try:
            answers[at] = model.scores(rows_of(features), arms).tolist()
        except Exception:
            answers[at] = None
            _log.exception("%s@%d cannot score", model.name, model.version)
