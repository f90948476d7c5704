"""The shard actor on the odd machine."""

from __future__ import annotations

from pathlib import Path

from actors.shard.actor import ShardActor
from tests.faults import odd_machine


class OddShardActor(ShardActor):
    def __init__(self, shard_id: int, installation_path: str) -> None:
        data_dir = Path(installation_path).parent
        odd_machine.give_clock(data_dir)
        super().__init__(shard_id, installation_path)
        odd_machine.give_disk(data_dir, shard_id, self._journal)
