"""Events to export, places to export to, and blobs that crash on request."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.fs as pafs
import pytest

from actors.files.blobs import BlobFolder, BlobWriter
from actors.warehouse import ExportRecord, LogRecord
from whisperer.events.block import EventBlock
from whisperer.events.parts import PartBuilder, merge
from whisperer.events.types import EventType
from whisperer.ids import bare_id, key_hash, message_hash
from whisperer.shard.state.log import DecisionRow, DeliveryRow, LogRow, OutcomeRow, RewardRow

DAY_MS = 86_400_000
NEW_YEAR_2026 = 1_767_225_600_000


@dataclass(frozen=True)
class Event:
    """One event as a test states it; ``counted`` False makes it a duplicate."""

    key: str
    name: str = "clicked"
    timestamp: int = NEW_YEAR_2026
    revenue: int = 0
    counted: bool = True
    link: str | None = None
    kind: EventType = EventType.TRACK
    payload: str | None = None
    received: int | None = None

    def json(self) -> str:
        return self.payload if self.payload is not None else json.dumps({"user": bare_id(self.key), "event": self.name})


def block_of(tenant: str, events: Sequence[Event], lsn: int = 0) -> EventBlock:
    builder = PartBuilder()
    for n, event in enumerate(events):
        builder.add(
            key=event.key,
            hashed=key_hash(event.key, 0),
            partition=len(event.key) % 64,
            kind=event.kind,
            name=event.name,
            timestamp=event.timestamp,
            received=event.timestamp + 5 if event.received is None else event.received,
            message_id=f"m-{lsn}-{n}",
            message_hash=message_hash(f"m-{lsn}-{n}"),
            payload=event.json().encode(),
            revenue=event.revenue,
            link=event.link,
        )
    return merge(tenant, [builder.build()])


def record(lsn: int, tenant: str, *events: Event) -> ExportRecord:
    return ExportRecord(lsn, block_of(tenant, events, lsn), np.array([event.counted for event in events], bool))


def decision(
    user: str, id_: str = "dec_1", at: int = NEW_YEAR_2026, tenant: str = "acme", **fields: Any
) -> DecisionRow:
    """A decision as a test states it: an e-mail chosen by the policy unless ``fields`` say otherwise."""
    stated: dict[str, Any] = {
        "campaign": "welcome",
        "campaign_version": 3,
        "trigger": "event",
        "occurrence": "m-1",
        "chosen_at": at + 40,
        "group": "policy",
        "arm": "email",
        "propensity": 0.75,
        "arms": ["no_send", "email"],
        "propensities": [0.25, 0.75],
        "means": [0.1, 0.2],
        "spreads": [0.01, 0.02],
        "seed": 2**64 - 1,
        "policy_version": "welcome@7",
        "features": [("events_7d", 3.0), ("recency_days", float("nan"))],
        "refused_arms": {"sms": "no_address"},
    }
    return DecisionRow(
        tenant=tenant, decision_id=id_, user_key=user, partition=len(user), at=at, **{**stated, **fields}
    )


def refused(user: str, id_: str, reason: str, at: int = NEW_YEAR_2026) -> DecisionRow:
    """A candidacy that ended before a choice."""
    nothing: dict[str, Any] = {"arms": [], "propensities": [], "means": [], "spreads": [], "seed": 0}
    unchosen = {"chosen_at": -1, "group": "", "arm": "", "propensity": 0.0, "policy_version": "", **nothing}
    return decision(user, id_, at, reason=reason, **unchosen)


def delivery(user: str, id_: str = "dec_1", at: int = NEW_YEAR_2026, **fields: Any) -> DeliveryRow:
    stated: dict[str, Any] = {
        "tenant": "acme",
        "send_key": "snd" + id_[3:],
        "campaign": "welcome",
        "channel": "email",
        "attempt": 0,
        "status": "accepted",
        "provider": "sink",
        "provider_id": "p-1",
        "detail": f"250 OK for {bare_id(user)}",
        "content_hash": "c0ffee",
        "locale": "de",
    }
    return DeliveryRow(decision_id=id_, user_key=user, partition=len(user), at=at, **{**stated, **fields})


def outcome(user: str, id_: str = "dec_1", at: int = NEW_YEAR_2026, kind: str = "opened", **fields: Any) -> OutcomeRow:
    stated: dict[str, Any] = {"tenant": "acme", "campaign": "welcome", "detail": "", "value_micros": 0}
    return OutcomeRow(decision_id=id_, user_key=user, partition=len(user), kind=kind, at=at, **{**stated, **fields})


def reward(user: str, id_: str = "dec_1", at: int = NEW_YEAR_2026, revision: int = 0, micros: int = 0) -> RewardRow:
    return RewardRow(
        tenant="acme",
        decision_id=id_,
        user_key=user,
        partition=len(user),
        campaign="welcome",
        campaign_version=3,
        group="policy",
        arm="email",
        propensity=0.75,
        reward_micros=micros,
        revision=revision,
        mature=revision > 0,
        at=at,
    )


def logged(lsn: int, *rows: LogRow, erased: Collection[int] = ()) -> LogRecord:
    return LogRecord(lsn, rows, erased)


def erased(*keys: str, at: int = NEW_YEAR_2026 + 365 * DAY_MS) -> dict[str, int]:
    """Users erased at a moment: after everything that tests write, unless another is given."""
    return dict.fromkeys(keys, at)


class Crash(BaseException):
    """The process would be gone here: nothing may catch it."""


class CrashingBlobs(BlobFolder):
    """A real folder; the n-th half-step of writing, naming or deleting a blob raises :class:`Crash`.

    Each step has two halves, before it took effect and after; a streamed write has a third, with half the bytes written.
    """

    crash_at = -1
    n_halves = 0

    def _half(self) -> None:
        if self.n_halves == self.crash_at:
            raise Crash
        self.n_halves += 1

    def put(self, name: str, data: bytes) -> None:
        self._half()
        super().put(name, data)
        self._half()

    @contextlib.contextmanager
    def writing(self, name: str) -> Iterator[BlobWriter]:
        self._half()
        with super().writing(name) as writer:
            yield writer
            self._half()
        self._half()

    def delete(self, name: str) -> None:
        self._half()
        super().delete(name)
        self._half()


@pytest.fixture(params=["local", "object-store"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobFolder:
    """A folder on the disk with awkward characters, and Arrow's in-memory file system without rename or fsync."""
    if request.param == "local":
        return BlobFolder(tmp_path / "ware [house]* ?é")
    return BlobFolder("bucket/warehouse", filesystem=pafs._MockFileSystem())
