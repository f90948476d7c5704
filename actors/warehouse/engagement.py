"""Sum up what readers did with scored messages: exact counts by channel and by bins of the score, from the warehouse.

A message counts once, as its accepted attempt says; it engaged its reader if a person opened it or followed a link in
it. Programs that do so are other outcomes. Messages without a score are left out: 15 in 16, whatever they are.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import duckdb

from actors.warehouse.identities import asked_again
from actors.warehouse.store import Warehouse
from whisperer.content.quality.calibration import N_BINS
from whisperer.content.quality.rubric import MOST
from whisperer.delivery.dispatch import Verdict
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import TenantId

_MEMORY = "256MB"

_BINS = f"""
    WITH sent AS (
        SELECT decision_id, any_value(channel) AS channel,
               max(TRY_CAST(regexp_extract(provenance, '^\\{{"quality":([0-9.]+)', 1) AS DOUBLE)) AS quality
        FROM deliveries
        WHERE status = '{Verdict.ACCEPTED}' AND provenance IS NOT NULL AND epoch_ms(occurred_at) >= $since
        GROUP BY decision_id
    ), engaged AS (
        SELECT DISTINCT decision_id FROM outcomes WHERE kind IN ('{OutcomeKind.OPENED}', '{OutcomeKind.CLICKED}')
    )
    SELECT channel, least({N_BINS - 1}, greatest(0, floor(quality / {MOST} * {N_BINS})))::INTEGER AS bin,
           count(*), count(engaged.decision_id), sum(quality)
    FROM sent LEFT JOIN engaged USING (decision_id) WHERE quality IS NOT NULL GROUP BY ALL ORDER BY ALL
"""  # noqa: S608 - constants


class ScoredBin(NamedTuple):
    """Messages of one channel whose score lies in one bin; ``total``: the sum of their scores."""

    channel: str
    place: int
    sent: int
    engaged: int
    total: float


def engagement_by_score(warehouse: Warehouse, tenant: TenantId, since: int) -> list[ScoredBin]:
    """Return the bins that have messages sent at or after ``since`` (ms UTC). Raises UnavailableError."""
    return asked_again(lambda: _bins(warehouse, tenant, since))


def _bins(warehouse: Warehouse, tenant: TenantId, since: int) -> list[ScoredBin]:
    config: dict[str, Any] = {"threads": 1, "memory_limit": _MEMORY}
    with duckdb.connect(config=config) as connection:
        for dataset in ("deliveries", "outcomes"):
            warehouse.duckdb_relation(tenant, dataset, connection).create_view(dataset)
        rows = connection.execute(_BINS, {"since": since}).fetchall()
    return [ScoredBin(*row) for row in rows]
