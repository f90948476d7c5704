"""Ray's command line without its `serve` and `job` command groups: `python -m cluster.ray_cli start ...`.

Importing those two costs three seconds that `start` never uses. Ray treats them as optional and carries on without
them; should that change, this is merely slower or says so in its log.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import cast

if __name__ == "__main__":
    for unused in ("ray.serve.scripts", "ray.dashboard.modules.job.cli", "ray.util.state.state_cli"):
        sys.modules[unused] = cast(ModuleType, None)  # importing it now raises ImportError

    from ray.scripts.scripts import main

    main()  # type: ignore[no-untyped-call]
