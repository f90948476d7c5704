"""Files are imported, some of them twice."""

from __future__ import annotations

import json
from pathlib import Path

from tests.benchmarks.soak import Chore
from tests.faults.judging import warehouse_rows_of
from tests.support.stand import Stand, Tenant

ROWS, USERS = 2_000, 50


class Imports(Chore):
    name = "imports"
    every_s = 120.0

    def __init__(self, stand: Stand, tenant: Tenant, folder: Path) -> None:
        super().__init__()
        self._stand = stand
        self._tenant = tenant
        self._folder = folder
        self.n_files = 0

    def once(self) -> None:
        path = self._folder / f"history-{self.n_files}.jsonl"
        if not path.exists():
            rows = (
                {
                    "type": "track", "event": "Old", "userId": f"past-{row % USERS}",
                    "messageId": f"{path.stem}-{row}", "timestamp": "2026-01-01T00:00:00Z",
                }
                for row in range(ROWS)
            )  # fmt: skip
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        for _ in range(10):  # it goes on from its checkpoint after a fault
            try:
                self._import(path)
                break
            except AssertionError as error:
                self.n["begun_again"] += 1
                problem = str(error)
        else:
            self.wrong(f"{path.name}: {problem[:300]}")
            return
        if self.n_files % 2 == 0:
            self._import(path)
        self.n_files += 1
        path.unlink()

    def _import(self, path: Path) -> None:
        self._stand.run("import", str(path), "--tenant", self._tenant.name, "--format", "jsonl", "--segment")

    def finish(self) -> None:
        rows = warehouse_rows_of(self._stand, self._tenant)
        wanted = self.n_files * ROWS
        found = sum(n for key, n in rows.items() if key.startswith("u:past-"))
        self.n["files"], self.n["events"] = self.n_files, found
        if found != wanted:
            self.wrong(f"{wanted} events were imported, the warehouse has {found}")
        for number in range(USERS):
            profile = self._tenant.user(f"past-{number}")
            counted = 0 if profile is None else profile["event_counts"].get("Old", 0)
            if counted != wanted // USERS:
                self.wrong(f"past-{number} has {counted} events, not {wanted // USERS}")
