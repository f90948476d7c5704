"""Ray's command line without its `serve` and `job` command groups: `python -m cluster.launch.ray_cli start ...`.

Importing those two takes three seconds, and `start` never uses them. Ray treats them as optional and continues without
them; should that change, this is merely slower or says so in its log.

An installation on the loopback address tells Ray that there is only one machine, so that Ray does not replace the
address (cluster/launch/installation.py). `ray start` would then refuse to join; here it may, because several nodes can
share a machine.
"""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace
from typing import cast

if __name__ == "__main__":
    for unused in ("ray.serve.scripts", "ray.dashboard.modules.job.cli", "ray.util.state.state_cli"):
        sys.modules[unused] = cast(ModuleType, None)  # importing it now raises ImportError

    from ray.scripts import scripts

    constants = vars(vars(scripts)["ray_constants"])
    vars(scripts)["ray_constants"] = SimpleNamespace(**{**constants, "ENABLE_RAY_CLUSTER": True})
    scripts.main()  # type: ignore[no-untyped-call]
