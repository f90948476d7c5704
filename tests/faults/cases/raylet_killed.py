"""kill -9 of the raylet: every process of the node ends with it; `whisperer up` again.

Nothing of the node is left to mend itself, so something outside must say `whisperer up`: a person, or the supervisor
that runs `whisperer up --foreground`, which ends with code 3 when Ray's servers end.
"""

from __future__ import annotations

import time

from tests.faults.cases import FaultResult, Options
from tests.faults.killing import kill_programs

OWN_INSTALLATION = True


def run(options: Options) -> FaultResult:
    with options.under_load() as scene:
        up_s = []

        def kill_and_start_again() -> None:
            kill_programs(scene.stand, "raylet")
            began = time.monotonic()
            scene.stand.up()
            up_s.append(time.monotonic() - began)

        for _ in range(min(options.rounds, 2)):
            scene.strike(kill_and_start_again, timeout_s=300)
    return scene.result(f"of which `whisperer up`, run at once, {max(up_s):.1f} s", up_s=up_s)
