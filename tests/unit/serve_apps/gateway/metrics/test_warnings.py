"""What the home page and the status warn of."""

from __future__ import annotations

from actors.calls.shard_status import ShardStatus
from serve_apps.gateway.metrics.status import warnings_of
from tests.unit.serve_apps.gateway.statuses import serving
from whisperer.profiles.names import MAX_NAMES
from whisperer.shard.views.counts import TenantCounts


def status(n_names: int) -> ShardStatus:
    return serving(tenants={"tn_1": TenantCounts(names={"event": n_names}, events_unnamed=7)})


def test_a_tenant_whose_table_of_names_is_nearly_full_is_named() -> None:
    assert warnings_of([status(1_000), status(200)], {"tn_1": "acme"}) == []
    (warning,) = warnings_of([status(1_000), status(MAX_NAMES - 100)], {"tn_1": "acme"})
    assert warning.startswith(f"acme sent {MAX_NAMES - 100} different event names")
    assert "14 events counted as (other)" in warning
