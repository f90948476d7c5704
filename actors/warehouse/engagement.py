"""Sum up what readers did with scored messages: exact counts by channel and by bins of the score, from the warehouse.

A message counts once, as its accepted attempt says; it engaged its reader if a person opened it or followed a link in
it. Programs that do so are other outcomes. Messages without a score are left out: 15 in 16, whatever they are. Marks of
single criteria are known since a release of their own: messages from before it count for the score alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import duckdb

from actors.warehouse.identities import asked_again
from actors.warehouse.store import Warehouse
from whisperer.content.quality.calibration import N_BINS
from whisperer.content.quality.rubric import MOST, RUBRIC
from whisperer.delivery.dispatch import Verdict
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import TenantId

_MEMORY = "256MB"

MOST_ROWS = 4_000
"""Of arms, languages and bins of the score, those with the most messages: 400 languages of arms at least."""
_CRITERIA = tuple(criterion.name for criterion in RUBRIC)

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


_MARK = "coalesce(TRY_CAST(regexp_extract(marks, '\"{name}\":([0-9.e-]+)', 1) AS DOUBLE), 1)"
_LACKING = ", ".join(f"sum(CASE WHEN is_marked THEN 1 - {_MARK.format(name=name)} ELSE 0 END)" for name in _CRITERIA)
# Of texts in the JSON, which may hold anything, the quotes are escaped: `"marks":{` is the field.
_BY_ARM = f"""
    WITH sent AS (
        SELECT decision_id, any_value(channel) AS channel, coalesce(any_value(locale), '') AS locale,
               arg_max(provenance, occurred_at) AS provenance
        FROM deliveries
        WHERE status = '{Verdict.ACCEPTED}' AND provenance IS NOT NULL AND campaign = $campaign
              AND epoch_ms(occurred_at) >= $since
        GROUP BY decision_id
    ), decided AS (
        SELECT decision_id, any_value(arm) AS arm FROM decisions
        WHERE campaign = $campaign AND arm IS NOT NULL GROUP BY decision_id
    ), scored AS (
        SELECT coalesce(arm, '') AS arm, channel, locale,
               TRY_CAST(regexp_extract(provenance, '^\\{{"quality":([0-9.]+)', 1) AS DOUBLE) AS quality,
               regexp_extract(provenance, '"marks":\\{{([^}}]*)\\}}', 1) AS marks,
               marks <> '' OR quality >= {MOST} AS is_marked
        FROM sent LEFT JOIN decided USING (decision_id)
    )
    SELECT arm, channel, locale,
           least({N_BINS - 1}, greatest(0, floor(quality / {MOST} * {N_BINS})))::INTEGER AS bin,
           count(*) AS n, sum(quality), count(*) FILTER (is_marked), {_LACKING}
    FROM scored WHERE quality IS NOT NULL GROUP BY arm, channel, locale, bin
    ORDER BY n DESC, arm, channel, locale, bin LIMIT {MOST_ROWS}
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


class ArmScores(NamedTuple):
    """Scored messages of one arm in one language.

    ``bins``: (bin of the score, messages, sum of their scores); ``marked``: messages whose marks are known;
    ``lacking``: what each criterion's mark lacks of 1, summed up over them.
    """

    arm: str
    channel: str
    locale: str
    bins: list[tuple[int, int, float]]
    marked: int
    lacking: dict[str, float]


def scores_by_arm(warehouse: Warehouse, tenant: TenantId, campaign: str, since: int) -> list[ArmScores]:
    """Return a campaign's scored messages sent at or after ``since`` (ms UTC), by arm, channel and language.

    Raises UnavailableError.
    """
    return asked_again(lambda: _by_arm(warehouse, tenant, campaign, since))


def _by_arm(warehouse: Warehouse, tenant: TenantId, campaign: str, since: int) -> list[ArmScores]:
    rows = _rows(warehouse, tenant, ("deliveries", "decisions"), _BY_ARM, {"campaign": campaign, "since": since})
    found: dict[tuple[str, str, str], ArmScores] = {}
    for arm, channel, locale, place, n, total, marked, *lacking in sorted(rows):
        place_of = arm, channel, locale
        before = found.get(place_of, ArmScores(*place_of, [], 0, dict.fromkeys(_CRITERIA, 0.0)))
        found[place_of] = before._replace(
            bins=[*before.bins, (place, n, total)],
            marked=before.marked + marked,
            lacking={name: before.lacking[name] + more for name, more in zip(_CRITERIA, lacking, strict=True)},
        )
    return list(found.values())


def _bins(warehouse: Warehouse, tenant: TenantId, since: int) -> list[ScoredBin]:
    rows = _rows(warehouse, tenant, ("deliveries", "outcomes"), _BINS, {"since": since})
    return [ScoredBin(*row) for row in rows]


def _rows(
    warehouse: Warehouse, tenant: TenantId, datasets: tuple[str, ...], query: str, asked: dict[str, Any]
) -> list[tuple[Any, ...]]:
    config: dict[str, Any] = {"threads": 1, "memory_limit": _MEMORY}
    with duckdb.connect(config=config) as connection:
        for dataset in datasets:
            warehouse.duckdb_relation(tenant, dataset, connection).create_view(dataset)
        rows: list[tuple[Any, ...]] = connection.execute(query, asked).fetchall()
    return rows
