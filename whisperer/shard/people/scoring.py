"""Score users in sweeps: take them from the columns in chunks, ask a model, write the scores back by a record.

The model runs outside the state machine; its answer comes back as a :class:`~whisperer.shard.records.Scored` record, so
replay needs no model. Guarantees: a chunk names rows, and a row is never given to another user, so a late score reaches
the user it is about or nobody; a segment that reads scores sees a change at the next tick. Leaves to others: the model
(:mod:`whisperer.profiles.scores`) and when to sweep (:mod:`actors.shard.scoring`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from whisperer.ids import TenantId
from whisperer.profiles import features
from whisperer.profiles.population import LIVE
from whisperer.profiles.scores import CHURN, ENGAGEMENT, SCORES, ScoreModel, moved
from whisperer.shard.records import Scored
from whisperer.shard.state.tenant import Tenant

CHUNK = 4_096
"""Rows in one chunk, and so in one record of at most 32 KB; reading a chunk from the columns takes 3 ms."""

_WIRE = np.dtype("<f4")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Hold the users in rows ``first`` to ``first + n - 1`` as values, so that a model may read them in another thread.

    ``rows`` int64 [n_users] are the live ones with any event; ``x`` float64 [n_users, len(model.features)]; ``held``
    their current scores, float32 [2, n_users].
    """

    first: int
    n: int
    rows: NDArray[np.int64]
    x: NDArray[np.float64]
    held: NDArray[np.float32]


def chunk(tenant: Tenant, names: tuple[str, ...], first: int, now: int) -> Chunk:
    """Return the next users from row ``first`` on, as of ``now`` (ms UTC); ``n`` is 0 when there are no more."""
    table = tenant.people.table
    stop = min(first + CHUNK, table.n)
    span = slice(first, stop)
    rows = first + np.flatnonzero((table["status"][span] == LIVE) & (table["n_events"][span] > 0))
    held = np.stack([table[name][rows] for name in SCORES])
    return Chunk(first, max(0, stop - first), rows, features.matrix(names, table, rows, now), held)


def scored(tenant_id: TenantId, model: ScoreModel, found: Chunk) -> Scored | None:
    """Score a chunk with the model; return None if no score has moved. Reads nothing from the shard."""
    changes = [moved(held, score) for held, score in zip(found.held, model.score(found.x), strict=True)]
    if all(np.isnan(change).all() for change in changes):
        return None
    columns = np.full((2, found.n), np.nan, _WIRE)
    columns[:, found.rows - found.first] = changes
    return Scored(tenant_id, model.version, found.first, columns[0].tobytes(), columns[1].tobytes())


def take(tenant: Tenant, body: Scored, now: int) -> None:
    """Write the scores of users who are still live, and make them due for a check if a segment reads scores."""
    table = tenant.people.table
    tenant.scored_by, tenant.scored_at = body.model, now
    changed: list[NDArray[np.int64]] = []
    for name, data in ((CHURN, body.churn), (ENGAGEMENT, body.engagement)):
        values = np.frombuffer(data, _WIRE)[: max(0, table.n - body.first)]
        rows = body.first + np.flatnonzero(~np.isnan(values))
        rows = rows[table["status"][rows] == LIVE]
        table[name][rows] = values[rows - body.first]
        changed.append(rows)
    every = np.unique(np.concatenate(changed))
    tenant.touch(every)
    if tenant.segments.uses(SCORES):
        table["next_check"][every] = np.minimum(table["next_check"][every], now)
