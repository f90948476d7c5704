"""Read decisions as rows to learn from: the features logged with each, its propensities, and its latest known reward.

Guarantees: a row holds what was known when the decision was made, and nothing later except the reward; rewards are
joined by decision id. Left out: refusals before a choice, decisions of erased users (their features are gone), and,
unless asked for, those whose attribution window is still open. Leaves to others: what is learned, and whether the log
can support it (:mod:`whisperer.evaluation`).
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from actors.warehouse import Warehouse
from whisperer.ids import TenantId
from whisperer.shard.decision.features import FEATURE_HASH, SPECS

HASH_KEY = b"whisperer.features"
"""Key in a table's schema metadata: the hash of the definitions that its feature columns follow."""


def decision_rows(
    warehouse: Warehouse,
    tenant: TenantId,
    *,
    campaign: str | None = None,
    until: int | None = None,
    immature: bool = False,
) -> pa.Table:
    """Return one row per decision, in order of time.

    Parameters
    ----------
    campaign : one of the tenant's; None for all
    until : ms UTC, exclusive, of the decision
    immature : also return those whose reward is not final, with the reward so far (0 if nothing is known)

    Returns
    -------
    pa.Table
        ``decision_id, user_key, campaign, campaign_version, experiment_group, policy_version, arm, propensity`` (of the
        arm), ``arms, propensities`` (parallel lists), ``occurred_at, reward_micros, mature``, and a float64 column for
        each of :data:`whisperer.shard.decision.features.SPECS`, NaN where absent or not yet logged at that time.
    """
    connection = duckdb.connect(config={"threads": 1})
    decisions = warehouse.duckdb_relation(tenant, "decisions", connection)
    rewards = warehouse.duckdb_relation(tenant, "rewards", connection)
    decisions.create_view("decisions")
    rewards.create_view("rewards")
    wanted = ["d.arm IS NOT NULL", "d.features IS NOT NULL"]
    parameters: list[object] = []
    if campaign is not None:
        wanted.append("d.campaign = ?")
        parameters.append(campaign)
    if until is not None:
        wanted.append("d.occurred_at < make_timestamp(?::BIGINT)")
        parameters.append(until * 1000)
    if not immature:
        wanted.append("coalesce(r.mature, false)")
    columns = ", ".join(f"coalesce(d.features['{name}'], 'nan'::DOUBLE) AS \"{name}\"" for name in SPECS)
    query = f"""
        SELECT d.decision_id, d.user_key, d.campaign, d.campaign_version, d.experiment_group, d.policy_version, d.arm,
               d.propensity, d.arms, d.propensities, d.occurred_at, coalesce(r.reward_micros, 0) AS reward_micros,
               coalesce(r.mature, false) AS mature, {columns}
        FROM decisions d LEFT JOIN (
            SELECT decision_id, arg_max(reward_micros, revision) AS reward_micros, bool_or(mature) AS mature
            FROM rewards GROUP BY decision_id
        ) r USING (decision_id)
        WHERE {" AND ".join(wanted)}
        ORDER BY d.occurred_at, d.decision_id
    """  # noqa: S608 - no word of a caller's
    found = connection.sql(query, params=parameters).to_arrow_table()
    return found.replace_schema_metadata({HASH_KEY: FEATURE_HASH.encode()})


def matrix(table: pa.Table, names: Sequence[str]) -> NDArray[np.float64]:
    """Return columns as one array: float64, shape (n, len(names)). Raises KeyError for a name that the table lacks."""
    found = np.empty((table.num_rows, len(names)))
    for place, name in enumerate(names):
        found[:, place] = table[name].to_numpy()
    return found
