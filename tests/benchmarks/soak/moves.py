"""Partitions of the tenants under load move to the other shard, and back."""

from __future__ import annotations

from tests.benchmarks.soak import Chore
from tests.support.stand import Stand, Tenant


class Moves(Chore):
    name = "moves"
    every_s = 45.0

    def __init__(self, stand: Stand, tenants: list[Tenant]) -> None:
        super().__init__()
        self._stand = stand
        self._tenants = tenants
        self.turn = 0

    def once(self) -> None:
        """One tenant's eighth of all partitions; a move that a kill cut off is ordered again, as an operator would."""
        tenant = self._tenants[self.turn % len(self._tenants)]
        first = (self.turn * 8) % 64
        to = (self.turn // 8) % 2
        self.turn += 1
        for _ in range(20):
            try:
                found = self._stand.json(
                    "shards", "move", "--tenant", tenant.name, "--partition", f"{first}-{first + 7}", "--to", str(to)
                )
            except AssertionError:
                self.n["ordered_again"] += 1
                continue
            self.n["partitions"] += len(found["moved"])
            return
        self.wrong(f"partitions {first} to {first + 7} of {tenant.name} did not move")
