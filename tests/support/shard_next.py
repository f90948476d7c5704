"""The next version of the shard's program, for tests of upgrades: its status says so, and has a field of its own."""

from __future__ import annotations

from actors.calls.plain import Plain
from actors.shard import successor

SAID = "none: this is the next version"


class ShardActor(successor.ShardActor):
    async def status(self) -> Plain:
        return {**await super().status(), "journal_trouble": SAID, "added_later": 1}
