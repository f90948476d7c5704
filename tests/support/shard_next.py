"""The next version of the shard's program, for tests of upgrades: it says so in its status."""

from __future__ import annotations

from typing import Any

from actors.shard import successor


class ShardActor(successor.ShardActor):
    async def status(self) -> dict[str, Any]:
        return {**await super().status(), "version": "next"}
