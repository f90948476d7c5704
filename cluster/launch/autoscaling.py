"""Decide how many replicas to run of an application that is called over sockets as well as through Serve."""

from __future__ import annotations

from typing import Any

DIRECT_CALLS = "direct_calls"
"""The name under which a replica reports its average number of ongoing calls that came over its socket."""


def by_calls(context: Any) -> tuple[float, dict[str, Any]]:
    """Return the number of replicas wanted, as a policy of Serve's autoscaler.

    Takes a `ray.serve.config.AutoscalingContext` and returns the replicas wanted and the policy's state. Like Serve's
    own policy, it asks for enough replicas for each to have the target number of ongoing calls; delays and bounds are
    Serve's.
    """
    direct = sum(context.aggregated_metrics.get(DIRECT_CALLS, {}).values())
    return (context.total_num_requests + direct) / context.config.get_target_ongoing_requests(), {}
