"""Keep the path that Serve configurations of the release before name, for one release.

A controller that starts again on this code loads the policy by it. The policy is in :mod:`cluster.launch.autoscaling`.
"""

from __future__ import annotations

from cluster.launch.autoscaling import by_calls

__all__ = ["by_calls"]
