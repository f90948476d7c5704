"""Ray's command line without its `serve` and `job` command groups: `python -m cluster.ray_cli start ...`.

Importing those two costs three seconds that `start` never uses. Ray treats them as optional and carries on without
them; should that change, this is merely slower or says so in its log.

An installation on the loopback address tells Ray that there is one machine only, so that Ray does not replace the
address (cluster/installation.py). `ray start` then refuses to join; here it may: several nodes can share a machine.
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
