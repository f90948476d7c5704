"""Histories for tests of simulations: batches of stored events, made by hand."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pyarrow as pa

from tests.unit.whisperer.shard.campaigns import ADDRESSES, campaign
from whisperer.journeys.campaign import Campaign, to_json
from whisperer.shard.records import Experiment
from whisperer.simulation.history import COLUMNS
from whisperer.simulation.plan import SimulationPlan

T0 = 1_790_000_000_000
HOUR, DAY = 3_600_000, 86_400_000
TENANT = "tn_test"
ALL_POLICY = Experiment("salt", 0.0, 0.0)

_serial = itertools.count()
_TYPES = [pa.string()] * 5 + [pa.int64(), pa.int64(), pa.string(), pa.string()]


def event(user: str, name: str, at: int, *, revenue: int = 0, **payload: Any) -> tuple[Any, ...]:
    message = {"userId": user, "event": name, **payload}
    return f"u:{user}", user, None, "track", name, at, revenue, f"m{next(_serial)}", json.dumps(message)


def identify(user: str, at: int, traits: dict[str, Any] | None = None, **context: Any) -> tuple[Any, ...]:
    """With addresses unless other traits are given."""
    stated = ADDRESSES | {"email": f"{user}@example.com", "name": user} if traits is None else traits
    message = {"type": "identify", "userId": user, "traits": stated, "context": context}
    return f"u:{user}", user, None, "identify", "$identify", at, 0, f"m{next(_serial)}", json.dumps(message)


def batch(*events: tuple[Any, ...]) -> pa.RecordBatch:
    """In order of time."""
    ordered = sorted(events, key=lambda row: row[5])
    columns = zip(*ordered, strict=True) if ordered else [[] for _ in COLUMNS]
    arrays = [pa.array(list(column), kind) for column, kind in zip(columns, _TYPES, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, list(COLUMNS))


def template(channel: str, text: str = "Hi {{ user.name }}") -> dict[str, Any]:
    parts = {"email": {"subject": text, "text": text}, "sms": {"text": text}}
    return {"channel": channel, "locales": {"en": parts[channel]}}


TEMPLATES = {"hello@1": template("email"), "hello-sms@1": template("sms")}


def plan(made: Campaign | None = None, days: int = 10, **more: Any) -> SimulationPlan:
    """Of ten days from T0 on."""
    stated: dict[str, Any] = {
        "experiment": ALL_POLICY,
        "templates": TEMPLATES,
        "providers": {"email": "smtp", "sms": "webhook"},
        "until": T0 + days * DAY,
        **more,
    }
    return SimulationPlan(TENANT, (made or campaign()).name, 1, to_json(made or campaign()), T0, **stated)
