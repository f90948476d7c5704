"""Scores for a batch of candidates, within a time: by the version whose turn each user is, and by one in shadow.

A value model may be missing, late or broken; then the batch is decided without it, and it is counted why. Models are
asked in one thread, those that decide before those in shadow. What is not there when the time is over is left out:
nothing waits for it, and it is dropped if it had not begun. Guarantees: what a choice is labelled with is what was
looked at; a shadow's scores are beside the choice and have no part in it. Leaves to others: who decides
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
from whisperer.decisions.decision import HOLDOUT, POLICY, Candidate, Choice
from whisperer.decisions.versions import labelled
from whisperer.models.rollout import BUILT_IN, assignments
from whisperer.models.value import ValueModel

BUDGET_S = 0.050
"""Ten times what a mix of trees and ridge takes for a batch of 256: late is only a full machine, or a model that is far
too large. A shard waits much longer."""
MISSING, LATE, BROKEN = "missing", "late", "broken"
REASONS = (MISSING, LATE, BROKEN)

Stage = tuple[str, str, int]
"""(tenant, policy, when its present stage began)."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Question:
    """One version asked about some candidates, who have the same arms.

    Attributes
    ----------
    stage : of the rollout
    places : of the candidates in the batch
    is_shadow : its scores are not used
    n_decided : candidates for whom it decides, or would: not those of a group's rule
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
class Scored:
    """``candidates`` as given, with scores where a version gave them."""

    candidates: list[Candidate]
    questions: list[Question] = field(default_factory=list)

    def label(self, choices: list[Choice]) -> list[Choice]:
        """Choices of these candidates, in their order, with what scored them."""
        for question in self.questions:
            if question.version == BUILT_IN:
                continue
            model, scores = question.stage[1], question.scores
            for at, place in enumerate(question.places):
                choice = choices[place]
                if question.is_shadow and scores is not None:
                    shadow_version = f"{model}@{question.version}"
                    choices[place] = msgspec.structs.replace(choice, shadow=scores[at], shadow_version=shadow_version)
                elif not question.is_shadow and self.candidates[place].group == POLICY:
                    label = labelled(choice.policy_version, model, question.version, answered=scores is not None)
                    choices[place] = msgspec.structs.replace(choice, policy_version=label)
        return choices


class Scorer:
    """Use from one event loop. ``budget_s``: after this a batch is decided without what is missing."""

    def __init__(self, budget_s: float = BUDGET_S) -> None:
        self._budget_s = budget_s
        self._thread = ThreadPoolExecutor(1, "scoring")

    async def score(self, candidates: list[Candidate], serving: Mapping[Policy, Serving]) -> Scored:
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
                # Dropped where its turn had not come; one that runs goes on, and finds that nobody waits.
                await asyncio.wait_for(asyncio.wrap_future(work), self._budget_s)
            except TimeoutError:
                in_time.clear()
        answers = dict(answers)  # the thread may be writing still
        made = list(candidates)
        for at, question in enumerate(waiting):
            question.scores = answers.get(at)
            question.fault = "" if question.scores is not None else BROKEN if at in answers else LATE
            if question.scores is not None and not question.is_shadow:
                for place, mine in zip(question.places, question.scores, strict=True):
                    made[place] = msgspec.structs.replace(candidates[place], scores=mine)
        return Scored(made, questions)

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)


def asked(candidates: Sequence[Candidate], serving: Mapping[Policy, Serving]) -> list[Question]:
    """Which version is asked about whom; those that decide first. The holdout is left out: nothing is chosen there."""
    by_policy: dict[Policy, list[int]] = {}
    for place, candidate in enumerate(candidates):
        policy = candidate.tenant, candidate.campaign
        if policy in serving and candidate.group != HOLDOUT:
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
                found[key].n_decided += candidate.group == POLICY
    return sorted(found.values(), key=lambda question: question.is_shadow)


def _answer(
    inputs: Sequence[tuple[ValueModel | None, list[str], list[list[float]]]],
    answers: dict[int, list[list[float]] | None],
    in_time: threading.Event,
) -> None:
    """Put the scores of each model where the caller finds them, None for one that failed; until nobody waits."""
    for at, (model, arms, features) in enumerate(inputs):
        if model is None or not in_time.is_set():
            return
        try:
            answers[at] = model.scores(rows_of(features), arms).tolist()
        except Exception:
            answers[at] = None
            _log.exception("%s@%d cannot score", model.name, model.version)
