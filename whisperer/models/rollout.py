"""Decide how a version comes to serve users: shadow -> 5 -> 25 -> 100 %, each step on evidence, and back at any time.

A pure state machine over one policy. The *live* version decides for everybody except the *candidate*'s share. In shadow
a candidate scores and decides for nobody. The product's behaviour without any version of ours is version 0,
:data:`BUILT_IN`: it is live at first, and there is always a way back to it.

A score model takes no decisions, so it needs no shares of users: it goes from shadow, where it is judged on the rows
that it brings (:mod:`.score_evidence`), to everybody.

Guarantees: one version is live, and at most one is a candidate; no stage is skipped; a step into traffic needs the
gate's consent, against the version that is live now, on data of the stage that it ends; a user keeps the version from
one stage to the next; what was rolled back returns through shadow only. Leaves to others: the gate
(:mod:`whisperer.evaluation`), breaches (:mod:`.guardrails`), storing and auditing (the control plane).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any

import msgspec
import xxhash

from whisperer.ids import UserKey, key_hash
from whisperer.models.errors import RolloutError

BUILT_IN = 0
SHADOW = "shadow"
MAX_PAST = 20
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class RolloutStage:
    """One stage; ``min_ms`` and ``min_decisions`` are what a candidate needs there before it may go on."""

    name: str
    share: float
    min_ms: int
    min_decisions: int


STAGES = (
    RolloutStage(SHADOW, 0.0, _HOUR_MS, 1_000),
    RolloutStage("5", 0.05, 24 * _HOUR_MS, 1_000),
    RolloutStage("25", 0.25, 24 * _HOUR_MS, 5_000),
)
"""Then 100 %: the candidate is live. A day, because hours of the day differ; 1,000 decisions, as the gate asks."""

SCORES = "churn"
"""Name of the policy whose live version scores a tenant's users, and kind of the artifacts that may be its versions."""
SCORE_STAGES = (RolloutStage(SHADOW, 0.0, 0, 0),)


@dataclass(frozen=True, slots=True)
class Rollout:
    """A policy's state.

    Attributes
    ----------
    stage : the candidate's, one of STAGES by name; "" without a candidate
    since : when the current stage began, or the live version went live (ms UTC)
    past : versions that were live before, newest last, without those that were rolled back
    """

    live: int = BUILT_IN
    candidate: int | None = None
    stage: str = ""
    since: int = 0
    past: tuple[int, ...] = ()

    @property
    def share(self) -> float:
        """Share of users that the candidate decides for, in [0, 1)."""
        return 0.0 if self.candidate is None else stage_named(self.stage).share


class Objection(msgspec.Struct, frozen=True):
    """A reason for the gate's refusal: ``reason`` for programs, ``sentence`` for people."""

    reason: Annotated[str, msgspec.Meta(max_length=200)]
    sentence: Annotated[str, msgspec.Meta(max_length=1_000)]


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The gate's verdict (:meth:`whisperer.evaluation.gate.Verdict.as_dict`), and its basis.

    Attributes
    ----------
    promote, reasons, figures, rule : as the gate reports them; the last two may be any JSON
    against : the version that the candidate was compared with
    judged_at : with its time zone
    """

    promote: bool
    against: Annotated[int, msgspec.Meta(ge=0)]
    judged_at: Annotated[datetime, msgspec.Meta(tz=True)]
    reasons: list[Objection] = []
    figures: dict[str, Any] = {}
    rule: dict[str, Any] = {}


def promote(
    state: Rollout,
    version: int,
    now: int,
    *,
    evidence: Evidence | None = None,
    n_decisions: int = 0,
    stages: Sequence[RolloutStage] = STAGES,
) -> Rollout:
    """Take one step with ``version``: into shadow, to the next share, or live. Raises RolloutError.

    ``n_decisions`` counts those that the candidate scored (in shadow) or took at its current stage.
    """
    if version == state.live:
        raise RolloutError(f"version {version} is live already", code="version_is_live")
    if state.candidate is None:
        return replace(state, candidate=version, stage=stages[0].name, since=now)
    if version != state.candidate:
        message = f"version {state.candidate} is at stage {state.stage}; promote it to the end or roll it back first"
        raise RolloutError(message, code="another_candidate")
    at = next(index for index, stage in enumerate(stages) if stage.name == state.stage)
    _check_stage(stages[at], now - state.since, n_decisions)
    _check_evidence(state, evidence, now)
    if at + 1 < len(stages):
        return replace(state, stage=stages[at + 1].name, since=now)
    return Rollout(live=version, since=now, past=(*state.past, state.live)[-MAX_PAST:])


def roll_back(state: Rollout, now: int, version: int | None = None) -> Rollout:
    """Remove ``version``: the candidate or the live one; by default the candidate if there is one.

    Removing the candidate leaves the live version to everybody; removing the live version restores the one before it,
    without the candidate, which was judged against the version that just failed. Raises RolloutError.
    """
    failed = version if version is not None else state.live if state.candidate is None else state.candidate
    if failed == state.candidate:
        return replace(state, candidate=None, stage="", since=now)
    if failed == BUILT_IN and state.live == BUILT_IN:
        raise RolloutError("what is built in decides; there is nothing before it", code="nothing_to_roll_back")
    if failed != state.live:
        raise RolloutError(f"version {failed} decides for nobody", code="version_not_serving")
    past = tuple(one for one in state.past if one != failed)
    return Rollout(live=past[-1] if past else BUILT_IN, since=now, past=past[:-1])


def assignments(state: Rollout, policy: str, user_keys: Sequence[UserKey], salt: str) -> list[int]:
    """Return the version that decides for each user.

    It depends only on the user, the candidate and ``salt`` (the tenant's): it is the same on every replica, stays from
    5 to 25 to 100 %, and is drawn anew for another candidate, so that the same users are not first every time.

    >>> state = Rollout(live=1, candidate=2, stage="25")
    >>> drawn = assignments(state, "offers", [f"u:{n}" for n in range(1_000)], "salt")
    >>> drawn.count(1), drawn.count(2)
    (755, 245)
    """
    if state.candidate is None or not state.share:
        return [state.live] * len(user_keys)
    seed = xxhash.xxh3_64_intdigest(f"{salt}\x1f{policy}\x1f{state.candidate}".encode("utf-8", "surrogatepass"))
    below = int(state.share * 2**64)
    return [state.candidate if key_hash(key, seed) < below else state.live for key in user_keys]


def stages_of(policy: str) -> tuple[RolloutStage, ...]:
    """Return the stages that a version of this policy goes through before it is live."""
    return SCORE_STAGES if policy == SCORES else STAGES


def stage_named(name: str, policy: str = "") -> RolloutStage:
    """Return a policy's stage by name. Raises KeyError."""
    for stage in stages_of(policy):
        if stage.name == name:
            return stage
    raise KeyError(name)


def _check_stage(stage: RolloutStage, age_ms: int, n_decisions: int) -> None:
    if age_ms < stage.min_ms:
        message = f"{age_ms / _HOUR_MS:.1f} h at stage {stage.name}; at least {stage.min_ms / _HOUR_MS:g} h are needed"
        raise RolloutError(message, code="stage_too_short")
    if n_decisions < stage.min_decisions:
        message = f"{n_decisions:,} decisions at stage {stage.name}; at least {stage.min_decisions:,} are needed"
        raise RolloutError(message, code="too_few_decisions")


def _check_evidence(state: Rollout, evidence: Evidence | None, now: int) -> None:
    if evidence is None:
        raise RolloutError("this step needs the gate's verdict", code="verdict_missing")
    if evidence.against != state.live:
        message = f"the verdict compares with version {evidence.against}; version {state.live} is live"
        raise RolloutError(message, code="verdict_of_another")
    if not state.since <= evidence.judged_at.timestamp() * 1000 <= now:
        message = "the verdict was not given at the present stage; judge the candidate again on what it did there"
        raise RolloutError(message, code="verdict_too_old")
    if not evidence.promote:
        why = " ".join(one.sentence for one in evidence.reasons)[:500] or "It gives no reason."
        raise RolloutError(f"The gate refuses. {why}", code="gate_refused")
