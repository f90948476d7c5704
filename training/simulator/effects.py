"""Define what a message does to a person: the ground truth that a policy has to discover, known here and nowhere else.

Decides, for a person's features, an arm and a moment, the probability of reaching the goal within the attribution
window and of unsubscribing because of the message. Everything is a closed formula with coefficients drawn once from the
seed, so that the lift of any policy can be computed instead of estimated.

The shape, on the logit scale: a base that rises with habit and revenue, plus the arm's effect. An effect has a part
that depends on what a decision can see (frequency, revenue, the hour, tenure, engagement), a slow drift with its own
phase, and, where given, a person's hidden taste that no feature shows. Some effects are negative: the wrong arm keeps
people from what they would have done anyway. Fatigue shrinks positive effects and leaves negative ones unchanged.
Nobody's luck depends on what is done: a person converts if and only if ``luck < probability``, with the same luck for
every arm.

A policy is rewarded with the *value*: the probability minus the arm's cost and the price of a lost subscription.

Leaves to ``truth`` what whole policies are worth, and to ``responses`` what a response looks like over time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from whisperer.decisions.context import NAMES
from whisperer.decisions.decision import NO_SEND

Floats = NDArray[np.float64]

TIPS_EMAIL, OFFER_EMAIL, NUDGE_SMS, NUDGE_PUSH = "tips-email", "offer-email", "nudge-sms", "nudge-push"

ARMS: tuple[str, ...] = (NO_SEND, TIPS_EMAIL, OFFER_EMAIL, NUDGE_SMS, NUDGE_PUSH)
"""The demo campaign's arms by the index that every function here takes; `no_send` first."""

COST: Floats = np.array([0.0, 0.002, 0.03, 0.02, 0.001])
"""What sending each arm costs, in conversions; the campaign states the same numbers."""

UNSUBSCRIBE_COST = 0.5
PERIOD_DAYS = 28.0
"""Days in which the drift completes one cycle."""

_UNSUBSCRIBES: Floats = np.array([0.0, 0.003, 0.004, 0.006, 0.005])
_LOGIT_BASE = -2.2
_DRIFT, _TASTE_SD = 0.45, 0.45
_AT = {name: place for place, name in enumerate(NAMES)}

# Rows are arms; the factors they are multiplied by are listed in _signals.
_EFFECT: Floats = np.array(
    [
        #  1   habit  paying  midday  evening  tenure  engaged
        [0.0, 0.00, 0.00, 0.00, 0.00, 0.00, 0.00],
        [0.4, -1.10, 0.50, 0.40, -0.50, -0.60, 0.40],
        [0.6, -0.40, -2.80, -0.20, 0.60, 0.30, 0.10],
        [-0.3, 0.30, 0.40, -1.40, 0.70, 0.00, 0.00],
        [-0.2, 1.00, 0.30, 1.10, -0.60, 0.30, 0.20],
    ]
)


class Effects:
    """Compute the ground truth of one seed. Seeds differ in the drift's phases, and by up to 10 % in every coefficient.

    Arrays: ``features`` float64, shape (n, len(NAMES)), raw as in a decision record, NaN where absent; ``arm`` an index
    into :data:`ARMS` or int array of shape (n,); ``t`` days, any origin, number or shape (n,); ``taste`` from
    :meth:`taste`, shape (n, len(ARMS)), none by default.
    """

    def __init__(self, seed: int = 7, *, period_days: float = PERIOD_DAYS, drift: float = 1.0) -> None:
        if period_days <= 0:
            raise ValueError("the drift's period is above 0 days")
        self.seed = seed
        self.period_days = period_days
        rng = np.random.default_rng([seed, 0xEFFEC7])
        self._effect = _EFFECT * rng.uniform(0.9, 1.1, _EFFECT.shape)
        self._phase = (np.arange(len(ARMS)) / (len(ARMS) - 1) + rng.random()) % 1.0
        self._drift = np.where(np.arange(len(ARMS)) == 0, 0.0, _DRIFT * drift)

    def conversion_probability(
        self, features: Floats, arm: ArrayLike, t: ArrayLike, taste: Floats | None = None
    ) -> Floats:
        """Return P(goal within the window | features, arm) at ``t``; float64, shape (n,), in (0, 1)."""
        return _pick(self.probabilities(features, t, taste), arm)

    def probabilities(self, features: Floats, t: ArrayLike, taste: Floats | None = None) -> Floats:
        """Return the same for every arm; float64, shape (n, len(ARMS))."""
        features = _checked(features)
        moment = np.broadcast_to(np.asarray(t, np.float64), (len(features),))
        turns = 2 * np.pi * (moment[:, None] / self.period_days + self._phase)
        effect = _signals(features) @ self._effect.T + self._drift * np.sin(turns)
        if taste is not None:
            effect = effect + taste
        effect[:, 0] = 0.0
        effect = np.where(effect > 0, effect * _freshness(features)[:, None], effect)
        return np.asarray(1 / (1 + np.exp(-(_base(features)[:, None] + effect))))

    def unsubscribe_probability(self, features: Floats, arm: ArrayLike, patience: ArrayLike = 1.0) -> Floats:
        """Return P(the message makes its reader unsubscribe); float64, shape (n,). It grows with recent messages."""
        return _pick(self._unsubscribes(features, patience), arm)

    def values(self, features: Floats, t: ArrayLike, taste: Floats | None = None, patience: ArrayLike = 1.0) -> Floats:
        """Return the expected reward of every arm, in conversions; float64, shape (n, len(ARMS))."""
        lost = UNSUBSCRIBE_COST * self._unsubscribes(features, patience)
        return np.asarray(self.probabilities(features, t, taste) - COST - lost)

    def best_arm(self, features: Floats, t: ArrayLike, taste: Floats | None = None) -> NDArray[np.int64]:
        """Return the index of the most valuable arm; int64, shape (n,): what a policy that knew everything would do."""
        return np.asarray(self.values(features, t, taste).argmax(axis=1), np.int64)

    def taste(self, people: Sequence[str]) -> Floats:
        """Return each person's liking of each arm, which no feature shows, on the logit scale, shape (n, len(ARMS))."""
        rows = [np.random.default_rng(_number(self.seed, "taste", who)).standard_normal(len(ARMS)) for who in people]
        return _tastes(np.array(rows, np.float64).reshape(-1, len(ARMS)))

    @staticmethod
    def tastes_of_strangers(n: int, rng: np.random.Generator) -> Floats:
        """Draw tastes of ``n`` people without names, for benchmarks; float64, shape (n, len(ARMS))."""
        return _tastes(rng.standard_normal((n, len(ARMS))))

    def patience(self, who: str) -> float:
        """Return how much a person tolerates, around 1: 0.3 to 1.7."""
        return 0.3 + 1.4 * self.luck("patience", who)

    def luck(self, *names: str) -> float:
        """Return a uniform number in [0, 1) that belongs to these names: the same whatever was done before asking."""
        return _number(self.seed, *names) / 2**64

    def _unsubscribes(self, features: Floats, patience: ArrayLike) -> Floats:
        features = _checked(features)
        strain = (1 + 0.3 * _known(features, "sends_7d")) * (1 + 2 * _just_reached(features))
        hazard = (strain / np.maximum(np.asarray(patience, np.float64), 0.05))[:, None] * _UNSUBSCRIBES
        return np.asarray(np.minimum(hazard, 0.25))


def _tastes(normal: Floats) -> Floats:
    taste = _TASTE_SD * normal
    taste[:, 0] = 0.0
    return np.asarray(taste)


def _signals(features: Floats) -> Floats:
    """Return what an effect is linear in, in the order of :data:`_EFFECT`'s columns, each within about [-2, 2]."""
    turn = 2 * np.pi * _known(features, "local_hour", 12.0) / 24
    return np.stack(
        [
            np.ones(len(features)),
            _habit(features),
            _paying(features),
            np.cos(turn - 2 * np.pi * 12 / 24),
            np.cos(turn - 2 * np.pi * 20 / 24),
            np.tanh(_known(features, "tenure_days") / 30.0),
            np.minimum(_known(features, "engaged_30d"), 4.0) / 4.0,
        ],
        axis=1,
    )


def _base(features: Floats) -> Floats:
    """Return the logit of reaching the goal when left alone."""
    return np.asarray(_LOGIT_BASE + 0.25 * _habit(features) + 0.3 * _paying(features))


def _habit(features: Floats) -> Floats:
    """Return events per week, roughly standardised: 0 for forty of them."""
    return np.asarray(np.clip((np.log1p(_known(features, "events_7d")) - 3.7) / 0.9, -2.0, 2.0))


def _paying(features: Floats) -> Floats:
    """Return 0 for users who never paid, 1 from about one team month of payments on."""
    return np.asarray(np.clip(np.log1p(_known(features, "revenue")) / np.log1p(49.0), 0.0, 1.0))


def _freshness(features: Floats) -> Floats:
    """Return what is left of a positive effect after recent messages, in (0, 1]."""
    return np.asarray((1 - 0.5 * _just_reached(features)) / (1 + 0.1 * _known(features, "sends_7d")))


def _just_reached(features: Floats) -> Floats:
    """Return 1 right after a message, fading within a day; 0 for users who never got one."""
    return np.asarray(np.exp(-_known(features, "hours_since_send", np.inf) / 12.0))


def _known(features: Floats, name: str, absent: float = 0.0) -> Floats:
    column = features[:, _AT[name]]
    return np.where(np.isnan(column), absent, np.maximum(column, 0.0))


def _checked(features: Floats) -> Floats:
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or features.shape[1] != len(NAMES):
        raise ValueError(f"features have shape (n, {len(NAMES)}), not {features.shape}")
    return features


def _pick(table: Floats, arm: ArrayLike) -> Floats:
    rows = np.arange(len(table))
    return np.asarray(table[rows, np.broadcast_to(np.asarray(arm, np.int64), rows.shape)])


def _number(seed: int, *names: str) -> int:
    text = "\x1f".join((str(seed), *names)).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(text, digest_size=8, person=b"effects").digest(), "big")
