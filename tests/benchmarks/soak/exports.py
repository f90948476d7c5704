"""Users are exported while they are written to."""

from __future__ import annotations

import random

from tests.benchmarks.soak import Chore, insisted
from tests.support.stand import Tenant


class Exports(Chore):
    name = "exports"
    every_s = 20.0

    def __init__(self, tenant: Tenant, users: int) -> None:
        super().__init__()
        self._tenant = tenant
        self._users = users
        self._random = random.Random(1)

    def once(self) -> None:
        user = f"user-{self._random.randrange(self._users)}"
        answer = insisted(lambda: self._tenant.api.get(f"/v1/users/{user}/export"))
        if answer.status_code == 404:
            self.n["not_there_yet"] += 1
        elif answer.status_code != 200:
            self.wrong(f"export of {user}: {answer.status_code} {answer.text[:200]}")
        else:
            self.n["bytes"] += len(answer.content)
            self.n["events"] += len(answer.json().get("events", []))
