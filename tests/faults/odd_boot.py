"""`actors.boot`, making shard actors of :class:`tests.faults.odd_shard.OddShardActor`."""

from __future__ import annotations

from actors import boot
from tests.faults.odd_shard import OddShardActor

if __name__ == "__main__":
    boot.ShardActor = OddShardActor  # type: ignore[misc]
    boot.main()
