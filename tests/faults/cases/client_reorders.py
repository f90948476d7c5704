"""One batch in twenty comes after its successor; what a user stated last by the client's clock stands."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta

from tests.faults.cases import FaultResult, Options, Scene
from tests.faults.counted_load import Pace

N_USERS = 20
N_STATEMENTS = 20


def run(options: Options) -> FaultResult:
    with options.under_load(Pace(repeated=0.0, reordered=0.05)) as scene:
        scene.load.wait_until_quiet(time.monotonic(), at_least_s=options.seconds * 2)
        wrong = _state_traits_out_of_order(scene)
    n = scene.load.figures()["sent_out_of_order"]
    stands = "the latest statement of every trait stands" if not wrong else f"{wrong} traits are not the latest"
    return scene.result(f"{n} batches out of order; {stands}", wrong_traits=wrong)


def _state_traits_out_of_order(scene: Scene) -> int:
    """Each user states the trait `step` again and again; the statements come shuffled. How many ended wrong."""
    now = datetime.now(UTC)
    statements = [
        {
            "type": "identify",
            "userId": f"stating-{user}",
            "messageId": f"stated-{user}-{step}",
            "timestamp": (now - timedelta(seconds=N_STATEMENTS - step)).isoformat(),
            "traits": {"step": step},
        }
        for user in range(N_USERS)
        for step in range(N_STATEMENTS)
    ]
    random.Random(1).shuffle(statements)
    for start in range(0, len(statements), 50):
        answer = scene.tenant.post("batch", {"batch": statements[start : start + 50]})
        answer.raise_for_status()
    scene.load.expect_others({statement["messageId"] for statement in statements})
    last = N_STATEMENTS - 1
    users = [scene.tenant.user(f"stating-{user}") for user in range(N_USERS)]
    return sum(user is None or user["traits"]["step"] != last for user in users)
