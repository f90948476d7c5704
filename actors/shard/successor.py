"""The shard actor that stands by until the one before it steps down, to upgrade shard code while traffic runs.

Its process has loaded the code and the newest snapshot before it is asked to take over; what is left for the pause is
the journal's tail since that snapshot. Guarantees: it opens the journal only when the directory's file names it as the
shard's actor, so only one of two actors of one shard writes, whichever of them is restarted when.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from actors.calls.partition_map import shard_name
from actors.calls.plain import Plain, plain
from actors.calls.shard_status import ShardAway, TookOver
from actors.calls.shards import CallStatus
from actors.directory.state_file import read_map
from actors.installation import load
from actors.shard import actor as shard_actor
from actors.shard import recovery
from actors.snapshots.store import SnapshotStore
from whisperer.profiles.warm import warm


class ShardActor(shard_actor.ShardActor):
    """Ray actor ``shard-<n>.<k>``, the k-th successor of ``shard-<n>``."""

    def __init__(self, shard_id: int, installation_path: str, name: str) -> None:
        self._id = shard_id
        self._installation_path = installation_path
        self._serves = False
        self._prepared: recovery.Prepared | None = None
        installation = load(installation_path)
        partition_map = read_map(Path(installation.data_dir) / "directory")
        if partition_map is not None and partition_map.name_of(shard_id) == name:
            self._serve()  # restarted after it took over
            return
        self._begin_bookkeeping(installation)
        warm()
        store = SnapshotStore(installation.settings.snapshots.uri, f"shard-{shard_id:04d}")
        self._prepared = recovery.prepare(installation.settings, store)

    def _serve(self) -> None:
        super().__init__(self._id, self._installation_path, self._prepared)
        self._prepared = None
        self._serves = True

    async def stand_by(self) -> bool:
        """Return True once this process is ready to take over."""
        return True

    async def take_over(self) -> Plain:
        """Open the journal under the next epoch, replay what came since the snapshot, and serve. Idempotent.

        Returns TookOver.
        """
        began = time.perf_counter()
        if not self._serves:
            self._serve()
        return plain(TookOver(time.perf_counter() - began, self._recovery.records, self._recovery.seconds))

    async def call(self, traces: list[tuple[str, str]], method: str, *args: Any) -> Any:
        """Call a method; until it has taken over, refuse all except `status`, `stand_by` and `take_over`."""
        if not self._serves and method not in ("stand_by", "take_over"):
            if method == "status":
                return plain(ShardAway(shard_name(self._id), "standing by"))
            return CallStatus.MOVING, None
        if method in ("stand_by", "take_over"):
            return await getattr(self, method)(*args)
        return await super().call(traces, method, *args)
