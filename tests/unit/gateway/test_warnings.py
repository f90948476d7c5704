"""What the home page and the status warn of."""

from __future__ import annotations

from typing import Any

from serve_apps.gateway.metrics.status import warnings_of
from serve_apps.gateway.metrics.sums import no_counts
from whisperer.profiles.names import MAX_NAMES


def status(n_names: int) -> dict[str, Any]:
    counts = {**no_counts(), "names": {"event": n_names}, "events_unnamed": 7}
    return {"name": "shard-0", "state": "serving", "tenants": {"tn_1": counts}}


def test_a_tenant_whose_table_of_names_is_nearly_full_is_named() -> None:
    assert warnings_of([status(1_000), status(200)], {"tn_1": "acme"}) == []
    (warning,) = warnings_of([status(1_000), status(MAX_NAMES - 100)], {"tn_1": "acme"})
    assert warning.startswith(f"acme sent {MAX_NAMES - 100} different event names")
    assert "14 events counted as (other)" in warning
