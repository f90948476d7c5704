"""Sum up users of a campaign's experiment by the day on which their window closed: exact sums from the warehouse.

A user joins with the campaign's first decision and counts, once the goal's window after it has closed, with all that
the goal brought within it. This differs from :mod:`whisperer.shard.accounts`, where totals keep growing: intervals that
may be looked at every day need final ones. A user is one person, whatever keys rows came under
(:mod:`actors.warehouse.identities`). Left out: users whose group a merge put in doubt, and erased ones.
"""

from __future__ import annotations

from typing import Any

import duckdb

from actors.warehouse import Warehouse
from actors.warehouse.identities import asked_again, create_same
from whisperer.evaluation.lift import GroupTally
from whisperer.ids import TenantId
from whisperer.journeys.campaign import Campaign
from whisperer.shard.decision.outcomes import SKEW_MS
from whisperer.vocabulary.units import DAY_MS

_MEMORY = "256MB"

_DAYS = f"""
    WITH people AS (
        SELECT coalesce(same.top, d.user_key) AS who, min(epoch_ms(d.occurred_at)) AS since,
               min(d.experiment_group) AS grp, count(DISTINCT d.experiment_group) AS n_groups
        FROM decisions d LEFT JOIN same ON same.key = d.user_key
        WHERE d.campaign = $name AND d.experiment_group IS NOT NULL AND d.features IS NOT NULL
        GROUP BY who
    ), goals AS (
        SELECT coalesce(same.top, e.user_key) AS who, epoch_ms(e.timestamp) AS moment,
               CASE WHEN $counts THEN 1000
                    ELSE (e.revenue_micros - (e.revenue_micros % 1000 + 1000) % 1000) // 1000 END AS milli
        FROM events e LEFT JOIN same ON same.key = e.user_key WHERE e.event = $goal
    ), totals AS (
        SELECT grp, since, n_groups, coalesce(sum(milli) FILTER (
                   moment > since - {SKEW_MS} AND moment <= since + $window
               ), 0)::HUGEINT AS total
        FROM people LEFT JOIN goals USING (who) GROUP BY who, grp, since, n_groups
    )
    SELECT (since + $window) // {DAY_MS} AS day, grp, n_groups > 1, count(*),
           sum(total)::VARCHAR, sum(total * total)::VARCHAR, sum(abs(total))::VARCHAR
    FROM totals WHERE since + $window <= $until GROUP BY ALL ORDER BY ALL
"""  # noqa: S608 - constants


def closed_by_day(
    warehouse: Warehouse, tenant: TenantId, campaign: Campaign, until: int
) -> tuple[list[tuple[int, str, GroupTally]], int]:
    """Return (day, group, tally) of users whose window closed before ``until`` (ms UTC), and the number left out.

    Those left out are users whose group a merge put in doubt. Days count from 1970 in UTC. Raises UnavailableError
    while the warehouse cannot be read.
    """
    return asked_again(lambda: _closed_by_day(warehouse, tenant, campaign, until))


def _closed_by_day(
    warehouse: Warehouse, tenant: TenantId, campaign: Campaign, until: int
) -> tuple[list[tuple[int, str, GroupTally]], int]:
    config: dict[str, Any] = {"threads": 1, "memory_limit": _MEMORY}
    with duckdb.connect(config=config) as connection:
        for dataset in ("events", "decisions"):
            warehouse.duckdb_relation(tenant, dataset, connection).create_view(dataset)
        create_same(connection)
        asked = {
            "name": campaign.name,
            "goal": campaign.goal.event,
            "counts": campaign.goal.reward == "conversion",
            "window": round(campaign.goal.window_s * 1000),
            "until": until,
        }
        rows = connection.execute(_DAYS, asked).fetchall()
    certain = [
        (day, group, GroupTally(n, *(int(one) for one in sums))) for day, group, odd, n, *sums in rows if not odd
    ]
    return certain, sum(row[3] for row in rows if row[2])
