"""List and count deliveries: one a message, with what its latest attempt says (:mod:`whisperer.delivery.listing`)."""

from __future__ import annotations

from typing import Any

import duckdb

from actors.warehouse.store import Warehouse
from whisperer.delivery.dispatch import Verdict
from whisperer.delivery.listing import DEAD, DeliveryCount, DeliveryEntry, DeliveryQuery, DeliveryState
from whisperer.ids import TenantId

_STATE = f"""CASE
    WHEN newest.reason IN ({", ".join(f"'{reason}'" for reason in DEAD)}) THEN '{DeliveryState.DEAD}'
    WHEN newest.status IN ('{Verdict.RETRY}', '{Verdict.WAITING}') THEN '{DeliveryState.RETRYING}'
    WHEN newest.status = '{Verdict.REJECTED}' THEN '{DeliveryState.DEAD}'
    ELSE newest.status END"""
_NEWEST = (
    *("decision_id", "user_key", "campaign", "channel"),
    *("status", "reason", "provider", "provider_id", "detail", "locale"),
)


def page_of_deliveries(warehouse: Warehouse, tenant: TenantId, query: DeliveryQuery) -> list[DeliveryEntry]:
    """Return up to ``limit`` deliveries in the order of their latest attempt, equals in that of their send keys."""
    before, order = ("<", "DESC") if query.descends else (">", "ASC")
    wanted: dict[str, str] = {
        name: value
        for name, value in (
            ("newest.channel", query.channel),
            ("newest.campaign", query.campaign),
            ("newest.provider", query.provider),
            ("send_key", query.send_key),
            (_STATE, query.state),
        )
        if value is not None
    }

    def ask(rows: duckdb.DuckDBPyRelation) -> list[tuple[Any, ...]]:
        by_key = _by_key(rows, query.since, query.until)
        for expression, value in wanted.items():
            is_so = duckdb.SQLExpression(expression) == duckdb.ConstantExpression(value)
            by_key = by_key.filter(is_so)
        if query.after is not None:
            at, key = query.after
            equal = (duckdb.ColumnExpression("last_at") == duckdb.ConstantExpression(at)) & (
                duckdb.ColumnExpression("send_key") > duckdb.ConstantExpression(key)
            )
            by_key = by_key.filter(duckdb.SQLExpression(f"last_at {before} {int(at)}") | equal)
        shown = (
            "send_key, newest.decision_id, newest.user_key, newest.campaign, newest.channel, "
            f"{_STATE}, coalesce(newest.reason, ''), coalesce(newest.provider, ''), coalesce(newest.provider_id, ''), "
            "coalesce(newest.detail, ''), coalesce(newest.locale, ''), n, first_at, last_at"
        )
        found: list[tuple[Any, ...]] = (
            by_key.order(f"last_at {order}, send_key").limit(query.limit).project(shown).fetchall()
        )
        return found

    return [DeliveryEntry(*row) for row in warehouse.ask_over(tenant, "deliveries", ask, (query.since, query.until))]


def count_deliveries(warehouse: Warehouse, tenant: TenantId, since: int, until: int) -> list[DeliveryCount]:
    """Return how many deliveries each channel has in each state, latest attempt in [since, until), ms UTC."""

    def ask(rows: duckdb.DuckDBPyRelation) -> list[tuple[Any, ...]]:
        by_key = _by_key(rows, since, until).project(f"newest.channel AS channel, {_STATE} AS state")
        found: list[tuple[Any, ...]] = by_key.aggregate("channel, state, count(*)").order("channel, state").fetchall()
        return found

    return [DeliveryCount(*row) for row in warehouse.ask_over(tenant, "deliveries", ask, (since, until))]


def _by_key(rows: duckdb.DuckDBPyRelation, since: int, until: int) -> duckdb.DuckDBPyRelation:
    """Return one row a message: its newest attempt, how many there were, and when."""
    packed = ", ".join(f"{name} := {name}" for name in _NEWEST)
    first, last = f"make_timestamp({since * 1000})", f"make_timestamp({until * 1000})"
    return rows.filter(f"occurred_at >= {first} AND occurred_at < {last}").aggregate(
        f"send_key, arg_max(struct_pack({packed}), struct_pack(a := occurred_at, b := attempt)) AS newest, "
        "count(*) AS n, epoch_ms(min(occurred_at)) AS first_at, epoch_ms(max(occurred_at)) AS last_at"
    )
