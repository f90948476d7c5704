"""Keep the path that programs of the release before import, for one release: see :mod:`cluster.launch.installation`."""

from __future__ import annotations

from cluster.launch.installation import Installation, load

__all__ = ["Installation", "load"]
