"""Users of every sort, and what each feature was of them when its version was released.

`python -m tests.unit.registries.feature_cases` adds what is missing from `tests/golden/features.json`: a new feature,
or a new version of one. What is there stays: an artifact was trained on it.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from whisperer.feedback.outcome import OutcomeKind
from whisperer.journeys import contact
from whisperer.profiles import daily, features
from whisperer.profiles.features import FEATURES
from whisperer.profiles.record import users
from whisperer.profiles.scores import SCORES
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.units import DAY_MS, HOUR_MS, MICROS

GOLDEN = Path(__file__).parents[2] / "golden" / "features.json"
N_USERS, TODAY = 40, 20_500
NOW = TODAY * DAY_MS + 13 * HOUR_MS
UNKNOWN = 0
"""The row of a user of whom there is no event."""

Values = list[float | None]


def table() -> features.Table:
    """Forty users: one without any event, one of a single event, one of today, others at random."""
    rng = np.random.default_rng(7)
    made = users()
    made.extend(N_USERS)
    for row in range(1, N_USERS):
        span = int(rng.integers(1, 400))
        days = np.sort(TODAY - rng.integers(0, span, int(rng.integers(1, 60))))
        days = {1: days[:1], 2: np.array([TODAY])}.get(row, days)
        counts = rng.integers(1, 30, len(days))
        daily.add(made, np.full(len(days), row), days, counts)
        made["n_events"][row] = counts.sum()
        made["first_seen"][row] = days[0] * DAY_MS + int(rng.integers(0, DAY_MS))
        made["last_seen"][row] = max(int(made["first_seen"][row]), int(days[-1] * DAY_MS))
        made["revenue"][row] = int(rng.integers(-50, 5_000)) * MICROS // 7
        for name in SCORES:
            made[name][row] = rng.random()
    return made


def of_profile(name: str) -> Values:
    return plain(features.compute(name, table(), np.arange(N_USERS), NOW))


def passed() -> list[tuple[list[tuple[str, int]], list[tuple[str, str, int]]]]:
    """What passed between us and some users: nothing, one message, many, on channels known and not."""
    rng = np.random.default_rng(11)
    names = ("email", "push", "sms", "webhook", "hologram")  # of the first release, and one that nobody knows
    cases: list[Any] = [([], []), ([("email", NOW)], []), ([], [("sms", OutcomeKind.OPENED, NOW - DAY_MS)])]
    for _ in range(12):
        ages = np.sort(rng.integers(0, 70 * 24, int(rng.integers(1, 40))))[::-1]
        sends = [(names[int(rng.integers(len(names)))], NOW - int(age) * HOUR_MS) for age in ages]
        kinds = (OutcomeKind.OPENED, OutcomeKind.CLICKED)
        noticed = [(channel, kinds[int(rng.integers(2))], at + HOUR_MS) for channel, at in sends if rng.random() < 0.5]
        cases.append((sends, noticed))
    for days in (7, 30):  # at the edge of a window, and a millisecond inside it
        for at in (NOW - days * DAY_MS, NOW - days * DAY_MS + 1):
            cases.append(([("email", at)], [("email", kind, at) for kind in (OutcomeKind.OPENED, OutcomeKind.CLICKED)]))
    for channel in CHANNELS:  # at the end, so that a new channel leaves the others' cases where they are
        cases.append(
            (
                [(channel, NOW - 5 * HOUR_MS)],
                [(channel, OutcomeKind.OPENED, NOW - HOUR_MS), (channel, OutcomeKind.CLICKED, NOW)],
            )
        )
    return cases


def of_contact(name: str) -> Values:
    if name in {spec.name for spec in contact.CLOCK}:
        zones = ("", "UTC", "Asia/Tokyo", "America/St_Johns", "Nowhere/At_All")
        place = [spec.name for spec in contact.CLOCK].index(name)
        return plain([contact.local_time(NOW + hours * HOUR_MS, zone)[place] for zone in zones for hours in (0, 7, 99)])
    specs = [spec.name for spec in (*contact.OVERALL, *contact.BY_CHANNEL)]
    found = []
    for sends, noticed in passed():
        overall, by_channel = contact.counts(sends, noticed, NOW)
        found.append([*overall, *by_channel][specs.index(name)])
    return plain(found)


def plain(values: Any) -> Values:
    return [None if math.isnan(value) else float(value) for value in values]


def now() -> dict[str, Values]:
    """``name@version`` -> the values that the code gives."""
    profile = {f"{name}@{spec.version}": of_profile(name) for name, spec in FEATURES.items()}
    return profile | {f"{name}@{spec.version}": of_contact(name) for name, spec in contact.CONTACT.items()}


def released() -> dict[str, Values]:
    found: dict[str, Values] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    return found


def write() -> None:
    rows = (now() | released()).items()
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(values)}" for name, values in rows)
    GOLDEN.write_text("{\n" + lines + "\n}\n")


if __name__ == "__main__":
    write()
