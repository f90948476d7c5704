"""Read a tenant's past from the warehouse for :mod:`whisperer.simulation`: events, related facts, decisions.

Guarantees: one tenant's rows only; memory is bounded by :data:`MOST_EVENTS`, :data:`MOST_BYTES` and :data:`MOST_FACTS`:
of a longer past, a share of the users is taken, each with everything of theirs. Leaves to others: what to do with it.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa

from actors.warehouse import Warehouse
from actors.warehouse.identities import create_same
from whisperer.decisions.context import NAMES
from whisperer.eligibility.standing import RETAIN_SENDS_MS
from whisperer.feedback.outcome import OutcomeKind
from whisperer.ids import TenantId
from whisperer.journeys.campaign import Campaign, from_json
from whisperer.simulation.history import ASKED, COLUMNS, SENT, Fact
from whisperer.simulation.plan import MOST_EVENTS, SimulationPlan
from whisperer.simulation.value import MOST_DECISIONS, DecisionLog, like_arms

MOST_BYTES = 1 << 30
"""Of their payloads."""
MOST_FACTS = 500_000
MOST_LOGS = 20
BATCH_ROWS = 65_536
_MEMORY = "512MB"
_SHARES = 1_000_000

_FACTS = f"""
    SELECT * FROM (
        SELECT epoch_ms(occurred_at) AS moment, '{SENT}' AS kind, user_key, campaign, channel, send_key AS detail
        FROM deliveries WHERE status = 'accepted' AND campaign <> $name
        UNION ALL
        SELECT epoch_ms(occurred_at), '{ASKED}', user_key, campaign, '', occurrence
        FROM decisions WHERE trigger = 'request' AND campaign = $name AND occurrence IS NOT NULL
        UNION ALL
        SELECT epoch_ms(o.occurred_at), o.kind, o.user_key, o.campaign, coalesce(d.channel, ''), ''
        FROM outcomes o LEFT JOIN (SELECT decision_id, any_value(channel) AS channel FROM deliveries GROUP BY 1) d
            USING (decision_id)
        WHERE o.kind IN ('{OutcomeKind.UNSUBSCRIBED}', '{OutcomeKind.COMPLAINED}', '{OutcomeKind.BOUNCED}')
    ) WHERE moment < $until AND (moment >= $since OR kind NOT IN ('{SENT}', '{ASKED}'))
    ORDER BY moment DESC LIMIT {MOST_FACTS}
"""  # noqa: S608 - constants
_FEATURES = ", ".join(f"coalesce(d.features['{name}'], 'nan'::DOUBLE)" for name in NAMES)
_DECISIONS = f"""
    SELECT d.user_key, d.arm, d.arms, d.propensities, [{_FEATURES}], epoch_ms(d.occurred_at), r.reward_micros
    FROM decisions d JOIN (
        SELECT decision_id, arg_max(reward_micros, revision) AS reward_micros
        FROM rewards WHERE campaign = $name GROUP BY decision_id HAVING bool_or(mature)
    ) r USING (decision_id)
    WHERE d.campaign = $name AND d.experiment_group IN ('policy', 'uniform')
      AND d.arm IS NOT NULL AND d.features IS NOT NULL
      -- Where money was lacking there was no choice.
      AND NOT list_contains(d.propensities, 0.0)
    ORDER BY d.occurred_at DESC, d.decision_id LIMIT {MOST_DECISIONS}
"""  # noqa: S608 - constants


@dataclass(frozen=True, slots=True)
class Extent:
    """How much there is: ``n_bytes`` of payloads; ``last``, ms UTC of the newest event, None without any."""

    n_events: int
    n_bytes: int
    last: int | None

    def share(self, most_events: int = MOST_EVENTS) -> float:
        """Return the share of the users that keeps the bounds."""
        return min(1.0, most_events / max(1, self.n_events), MOST_BYTES / max(1, self.n_bytes))


class Past:
    """Read one tenant's history. Use from one thread, and close it."""

    def __init__(self, warehouse: Warehouse, tenant: TenantId) -> None:
        self._spill = tempfile.TemporaryDirectory()
        config: dict[str, Any] = {"threads": 1, "memory_limit": _MEMORY, "temp_directory": self._spill.name}
        self._connection = duckdb.connect(config=config)
        for dataset in ("events", "decisions", "deliveries", "outcomes", "rewards"):
            warehouse.duckdb_relation(tenant, dataset, self._connection).create_view(dataset)

    def close(self) -> None:
        self._connection.close()
        self._spill.cleanup()

    def __enter__(self) -> Past:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def extent(self, until: int | None = None) -> Extent:
        """Return the extent of the events before ``until`` (ms UTC)."""
        query = "SELECT count(*), coalesce(sum(strlen(payload)), 0)::BIGINT, epoch_ms(max(timestamp)) FROM events"
        row = self._connection.execute(f"{query} {_before(until)}").fetchone()
        assert row is not None
        return Extent(*row)

    def events(self, until: int, share: float = 1.0) -> Iterator[pa.RecordBatch]:
        """Yield a share of the users' events in order of event time, ties in order of receipt."""
        joined, chosen = "", ""
        if share < 1:
            create_same(self._connection)
            joined = "LEFT JOIN same ON same.key = events.user_key"
            chosen = f"AND hash(coalesce(same.top, events.user_key)) % {_SHARES} < {max(1, round(share * _SHARES))}"
        columns = {name: name for name in COLUMNS} | {"at": "epoch_ms(timestamp)", "revenue": "revenue_micros"}
        selected = ", ".join(f"{expression} AS {name}" for name, expression in columns.items())
        yield from self._connection.sql(
            f"SELECT {selected} FROM events {joined} {_before(until)} {chosen} "  # noqa: S608 - no word of a caller's
            'ORDER BY timestamp, received_at, shard, lsn, "index"'
        ).to_arrow_reader(BATCH_ROWS)

    def facts(self, plan: SimulationPlan) -> list[Fact]:
        """Return facts in order of time; the newest if there are too many."""
        asked = {"name": plan.name, "until": plan.until, "since": plan.since - RETAIN_SENDS_MS}
        found = [Fact(*row) for row in self._connection.execute(_FACTS, asked).fetchall()]
        return found[::-1]

    def logs(self, plan: SimulationPlan) -> list[DecisionLog]:
        """Return the decisions of those campaigns in ``plan.others`` that are like the plan's, in order; empty ones
        too.
        """
        alike = (other for text in plan.others if like_arms(plan.campaign, other := from_json(text)) is not None)
        return [self._log(other) for other in itertools.islice(alike, MOST_LOGS)]

    def _log(self, campaign: Campaign) -> DecisionLog:
        rows = self._connection.execute(_DECISIONS, {"name": campaign.name}).fetchall()[::-1]
        columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(7)]
        return DecisionLog(campaign, *columns)


def _before(until: int | None) -> str:
    return "WHERE true" if until is None else f"WHERE timestamp < make_timestamp({until}::BIGINT * 1000)"
