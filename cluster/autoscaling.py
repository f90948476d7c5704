"""How many replicas an application should have that is called over sockets as well as through Serve."""

from __future__ import annotations

from typing import Any

DIRECT_CALLS = "direct_calls"
"""What a replica calls the number of calls under way that came over its socket, on average."""


def by_calls(context: Any) -> tuple[float, dict[str, Any]]:
    """A policy of Serve's autoscaler (`ray.serve.config.AutoscalingContext` in, replicas wanted and state out).

    As many replicas as it takes for each to have the target number of calls under way, as Serve's own policy has it;
    delays and bounds are Serve's.
    """
    direct = sum(context.aggregated_metrics.get(DIRECT_CALLS, {}).values())
    return (context.total_num_requests + direct) / context.config.get_target_ongoing_requests(), {}
