"""Processes that take coupon codes and are killed in the middle, at random moments: run as a program.

    python -m tests.support.coupon_takers URL TENANT POOL ROUNDS SEED

Three at a time take codes for users of whom there are fewer than asks, each until it is killed. What they were told
goes to stdout, a JSON array (user, code) a line; lines that were cut off by the kill are left out.
"""

from __future__ import annotations

import json
import os
import random
import select
import signal
import sys
import time

import cluster.control_plane.postgresql  # noqa: F401  the driver, which each child would load
from cluster.control_plane import ControlPlane
from cluster.control_plane.coupons import Ask
from whisperer.ids import TenantId, known_key

AT_ONCE = 3
USERS = 400


def take(url: str, tenant: TenantId, pool: str, seed: int, out: int) -> None:
    """Take codes until killed, some for several users at once."""
    rng = random.Random(seed)
    plane = ControlPlane(url, migrated=True)
    while True:
        users = [known_key(f"u{rng.randrange(USERS)}") for _ in range(rng.randint(1, 8))]
        given = plane.give_codes(tenant, [Ask(pool, "c", user) for user in users], 1)
        for ask, code in given.items():
            os.write(out, json.dumps([ask.user_key, code]).encode() + b"\n")


def main(url: str, tenant: str, pool: str, rounds: int, seed: int) -> None:
    rng = random.Random(seed)
    for round_ in range(rounds):
        children: list[tuple[int, int]] = []
        for n in range(AT_ONCE):
            reader, writer = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(reader)
                try:
                    take(url, TenantId(tenant), pool, seed + round_ * AT_ONCE + n, writer)
                finally:
                    os._exit(1)
            os.close(writer)
            children.append((pid, reader))
        for _, reader in children:
            select.select([reader], [], [], 60)  # it has told of a first code
        time.sleep(rng.uniform(0, 0.2))
        for pid, _ in rng.sample(children, len(children)):
            os.kill(pid, signal.SIGKILL)
            time.sleep(rng.uniform(0, 0.02))
        for pid, reader in children:
            os.waitpid(pid, 0)
            with os.fdopen(reader, "rb") as told:
                for line in told.read().split(b"\n")[:-1]:
                    print(line.decode())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
