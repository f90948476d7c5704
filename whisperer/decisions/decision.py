"""Define what the decisions application is asked, what it answers, and the ids that make both repeatable.

A *candidate* is a user whom a campaign might reach now, with the arms that eligibility left. A *choice* is the answer:
one arm, with everything needed to audit it and to evaluate other policies on it later. Both are values; neither knows
about shards or HTTP.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from functools import lru_cache

import msgspec

from whisperer.decisions.budget import Budget
from whisperer.ids import DecisionId, SendKey, TenantId, UserKey

NO_SEND = "no_send"
"""The arm that leaves the user alone; always eligible, always first."""


_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Crockford's alphabet, without look-alikes. Numbers are split into digits as in RFC 4648."""
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]


class Candidate(msgspec.Struct, array_like=True, frozen=True):
    """One user to decide about.

    Attributes
    ----------
    group : one of GROUPS, stored with the user at the first decision
    arms : eligible arms in the campaign's order, `no_send` first
    features : float64, raw values in the order of :data:`whisperer.decisions.context.NAMES`, NaN where absent
    now : ms UTC
    scores : parallel to ``arms``, what a value model expects of each (:data:`whisperer.decisions.context.SCORE`), NaN
        where it has no score; empty without a model
    user_key : determines which version of a value model the user is assigned to; "" means the live one
    costs, budget : set where the campaign has a budget; costs in micro-units, parallel to ``arms``
    """

    decision_id: DecisionId
    tenant: TenantId
    campaign: str
    campaign_version: int
    group: str
    arms: list[str]
    features: list[float]
    now: int
    scores: list[float] = []
    user_key: UserKey = UserKey("")
    costs: list[int] = []
    budget: Budget | None = None


class Choice(msgspec.Struct, array_like=True, frozen=True):
    """The decision about one candidate.

    Attributes
    ----------
    arm : the arm chosen
    propensity : P(arm | features, group) when chosen, in (0, 1]
    arms, propensities, means, spreads : parallel; the whole vector p, and each arm's posterior mean and standard
        deviation of the reward (0 where the group's rule uses no model)
    seed : 64 bits, from the decision's id
    policy_version : which statistics were used, and the price of spending (:mod:`.versions`); ``holdout`` or
        ``uniform`` for the rules
    scores : the value model's, as the candidate had them
    shadow, shadow_version : scores of a version in shadow, which decided nothing, and its name (``<model>@<n>``)
    """

    decision_id: DecisionId
    arm: str
    propensity: float
    arms: list[str]
    propensities: list[float]
    means: list[float]
    spreads: list[float]
    seed: int
    policy_version: str
    scores: list[float] = []
    shadow: list[float] = []
    shadow_version: str = ""

    @property
    def score(self) -> float:
        """The model's score of the chosen arm, NaN if there was none."""
        return self.scores[self.arms.index(self.arm)] if self.scores else math.nan


def _decision_id(tenant: TenantId, user_key: UserKey, campaign: str, occurrence: str) -> DecisionId:
    return DecisionId("dec_" + _digest("decision", tenant, user_key, campaign, occurrence))


# Cached, as both the caller and the shard that then considers the user need it; annotated, as a cache hides types.
decision_id: Callable[[TenantId, UserKey, str, str], DecisionId] = lru_cache(maxsize=4_096)(_decision_id)
"""Return ``dec_`` and 26 characters; the same occurrence always has the same id."""


def send_key(decision: DecisionId) -> SendKey:
    """Return ``snd_`` and 26 characters: the idempotency key of a decision's one message."""
    return SendKey("snd_" + _digest("send", decision))


def seed_of(decision: DecisionId) -> int:
    """Return the 64 bits that drive everything random about a decision."""
    return int.from_bytes(hashlib.blake2b(decision.encode(), digest_size=8, person=b"seed").digest(), "big")


def _digest(*parts: str) -> str:
    text = "\x1f".join(parts).encode("utf-8", "surrogatepass")
    # 26 digits hold 130 bits: the last two are zero. Pairs of digits are ten times faster than the library's base 32.
    number = int.from_bytes(hashlib.blake2b(text, digest_size=16).digest(), "big") << 2
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])
