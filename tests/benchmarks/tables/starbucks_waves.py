"""The Starbucks rewards file as logged decisions: one row a person and wave of offers, with what was known before it.

Guarantees: a feature of a wave is computed from rows before the wave's hour only. An offer of an earlier wave, its views
and completions are history like any other. The reward is what was spent in the 72 hours after the wave's hour less the
rewards that were paid out, at most 100; the file's own assignment is random (its README), with propensity .25 for no
offer and .075 for each of the ten. Leaves learning and judging to :mod:`tests.benchmarks.tables.t3`.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

WAVES = (0, 168, 336, 408, 504, 576)
P_NONE, P_OFFER = 0.25, 0.075
WINDOW_H = 72
CAP = 100.0
_CHANNELS = ("web", "mobile", "social")
_TYPES = ("bogo", "discount", "informational")
_UNKNOWN_AGE = 118
_NEVER_H = 800.0
"""Stands for "longer ago than the file reaches"."""

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Waves:
    """Rows are (wave, person), wave after wave.

    Attributes
    ----------
    x : float64, shape (n, d), NaN where a person never said
    names : of the d columns
    action : int64, shape (n,), 0 for no offer, else the offer's place in the portfolio from 1
    reward : float64, shape (n,), dollars
    hour, person : int64, shape (n,)
    propensity : float64, shape (n, 11)
    arm_features : float64, shape (11, m), a row of zeros for no offer
    """

    x: Array
    names: tuple[str, ...]
    action: NDArray[np.int64]
    reward: Array
    hour: NDArray[np.int64]
    person: NDArray[np.int64]
    propensity: Array
    arm_features: Array

    def at(self, rows: NDArray[np.bool_]) -> Waves:
        """The chosen rows."""
        return Waves(
            self.x[rows],
            self.names,
            self.action[rows],
            self.reward[rows],
            self.hour[rows],
            self.person[rows],
            self.propensity[rows],
            self.arm_features,
        )


def read(folder: Path) -> Waves:
    """The data set ``folder`` holds, every wave."""
    people, offers = _lines(folder / "profile.json.gz"), _lines(folder / "portfolio.json.gz")
    person_row = {line["id"]: row for row, line in enumerate(people)}
    offer_number = {line["id"]: number for number, line in enumerate(offers, 1)}
    events = duckdb.sql(
        f"select person, event, time::bigint as hour, offer_id, coalesce(amount, 0) as amount, "
        f"coalesce(reward, 0) as reward from '{folder / 'transcript.parquet'}' order by all"
    ).fetchnumpy()
    log = _Log(
        np.array([person_row[str(p)] for p in events["person"]]),
        events["event"].astype(str),
        events["hour"].astype(np.int64),
        np.array([offer_number.get(str(o), 0) for o in events["offer_id"]]),
        events["amount"].astype(np.float64),
        events["reward"].astype(np.float64),
        len(people),
        offers,
    )
    who = _who(people)
    parts = [log.wave(hour) for hour in WAVES]
    x = np.vstack([np.hstack([who, features]) for features, _, _ in parts])
    n_arms = len(offers) + 1
    return Waves(
        x,
        (*_WHO, *_HISTORY),
        np.concatenate([action for _, action, _ in parts]),
        np.concatenate([reward for _, _, reward in parts]),
        np.repeat(np.array(WAVES), len(people)),
        np.tile(np.arange(len(people)), len(WAVES)),
        np.tile(np.r_[P_NONE, np.full(n_arms - 1, P_OFFER)], (len(x), 1)),
        np.vstack([np.zeros(len(_TYPES) + len(_CHANNELS) + 3), *(_factored(offer) for offer in offers)]),
    )


_WHO = ("age", "income", "woman", "man", "gender_unknown", "tenure_days")
_HISTORY = (
    "hours_known",
    "hours_since_purchase",
    "purchases_per_week",
    "spend_per_week",
    "spend_last_72h",
    "spend_last_168h",
    "purchases_last_168h",
    "mean_purchase",
    "largest_purchase",
    "offers",
    "views_per_offer",
    "completions_per_offer",
    "reward_earned",
    "hours_since_offer",
    "active_offers",
    "active_reward",
    "active_viewed",
    "views_without_completion",
    "bogo_completed",
    "discount_completed",
    "informational_viewed",
)


@dataclass(slots=True, eq=False)
class _Log:
    person: NDArray[np.int64]
    event: NDArray[np.str_]
    hour: NDArray[np.int64]
    offer: NDArray[np.int64]
    amount: Array
    reward: Array
    n: int
    offers: list[dict[str, Any]]

    def _sum(self, rows: NDArray[np.bool_], values: Array | None = None) -> Array:
        return np.bincount(self.person[rows], None if values is None else values[rows], self.n).astype(np.float64)

    def _last(self, rows: NDArray[np.bool_], hour: int) -> Array:
        latest = np.full(self.n, hour - _NEVER_H)
        np.maximum.at(latest, self.person[rows], self.hour[rows])
        return hour - latest

    def wave(self, hour: int) -> tuple[Array, NDArray[np.int64], Array]:
        """Features, actions and rewards of the wave at ``hour``, a row a person."""
        bought, received = self.event == "transaction", self.event == "offer received"
        viewed, completed = self.event == "offer viewed", self.event == "offer completed"
        action = np.zeros(self.n, np.int64)
        now = received & (self.hour == hour)
        action[self.person[now]] = self.offer[now]
        window = (self.hour > hour) & (self.hour <= hour + WINDOW_H)
        spent = self._sum(window & bought, self.amount) - self._sum(window & completed, self.reward)
        before = self.hour < hour
        days = np.array([0.0, *(offer["duration"] for offer in self.offers)])
        worth = np.array([0.0, *(offer["reward"] for offer in self.offers)])
        kind = np.array(["", *(offer["offer_type"] for offer in self.offers)])
        active = before & (self.hour + 24 * days[self.offer] > hour)
        weeks = max(hour, 1) / 168
        purchases, spend = self._sum(before & bought), self._sum(before & bought, self.amount)
        largest = np.zeros(self.n)
        np.maximum.at(largest, self.person[before & bought], self.amount[before & bought])
        offers, views = self._sum(before & received), self._sum(before & viewed)
        completions = self._sum(before & completed)
        week = before & (self.hour >= hour - 168)
        features = np.column_stack(
            [
                np.full(self.n, float(hour)),
                self._last(before & bought, hour),
                purchases / weeks,
                spend / weeks,
                self._sum(before & bought & (self.hour >= hour - 72), self.amount),
                self._sum(week & bought, self.amount),
                self._sum(week & bought),
                spend / np.maximum(purchases, 1),
                largest,
                offers,
                views / np.maximum(offers, 1),
                completions / np.maximum(offers, 1),
                self._sum(before & completed, self.reward),
                self._last(before & received, hour),
                self._sum(active & received),
                self._sum(active & received, worth[self.offer]) - self._sum(active & completed, self.reward),
                self._sum(active & viewed),
                views - completions,
                self._sum(before & completed & (kind[self.offer] == "bogo")),
                self._sum(before & completed & (kind[self.offer] == "discount")),
                self._sum(before & viewed & (kind[self.offer] == "informational")),
            ]
        )
        return features, action, np.minimum(spent, CAP)


def _who(people: list[dict[str, Any]]) -> Array:
    joined = np.array([f"{p['became_member_on']}" for p in people])
    days = np.array([f"{d[:4]}-{d[4:6]}-{d[6:]}" for d in joined], "datetime64[D]").astype(np.float64)
    return np.column_stack(
        [
            [np.nan if p["age"] == _UNKNOWN_AGE else p["age"] for p in people],
            [np.nan if p["income"] is None else p["income"] for p in people],
            [float(p["gender"] == "F") for p in people],
            [float(p["gender"] == "M") for p in people],
            [float(p["gender"] is None) for p in people],
            days.max() - days,
        ]
    )


def _factored(offer: dict[str, Any]) -> Array:
    return np.array(
        [
            *(float(offer["offer_type"] == kind) for kind in _TYPES),
            *(float(channel in offer["channels"]) for channel in _CHANNELS),
            offer["reward"],
            offer["difficulty"],
            offer["duration"],
        ]
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt") as file:
        return [json.loads(line) for line in file]
