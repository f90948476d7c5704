"""People come, do something, are erased; nothing of them may be left when it is over."""

from __future__ import annotations

import time

from tests.benchmarks.soak import Chore, insisted
from tests.faults.judging import warehouse_rows_of
from tests.support.campaigning import person
from tests.support.stand import Tenant


class Erasures(Chore):
    name = "erasures"
    every_s = 15.0

    def __init__(self, tenant: Tenant) -> None:
        super().__init__()
        self._tenant = tenant
        self.erased: list[str] = []
        self.stayed: list[str] = []

    def once(self) -> None:
        turn = len(self.erased) + len(self.stayed)
        user = f"short-{turn}"
        events = [person(user, turn), *({"type": "track", "event": "Came", "userId": user} for _ in range(4))]
        told = insisted(lambda: self._tenant.post("batch", {"batch": events}))
        assert told.status_code == 200, told.text
        if turn % 3 == 2:
            self.stayed.append(user)
            return
        time.sleep(turn % 5)  # before and after what was sent is exported
        answer = insisted(lambda: self._tenant.api.delete(f"/v1/users/{user}"))
        if answer.status_code not in (200, 202, 204):
            self.wrong(f"erasure of {user}: {answer.status_code} {answer.text[:200]}")
        else:
            self.erased.append(user)

    def finish(self) -> None:
        for user in self.erased:
            if self._tenant.user(user) is not None:
                self.wrong(f"{user} was erased and is there")
        for user in self.stayed:
            if self._tenant.user(user) is None:
                self.wrong(f"{user} is gone, though nobody erased them")
        rows = warehouse_rows_of(self._tenant.stand, self._tenant)
        for user in self.erased:
            if rows.get(f"u:{user}"):
                self.wrong(f"{rows[f'u:{user}']} events of {user}, who was erased, are in the warehouse")
        self.n["erased"], self.n["stayed"] = len(self.erased), len(self.stayed)
