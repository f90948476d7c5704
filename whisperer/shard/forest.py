"""Who was joined into whom: a tenant's accepted aliases, as their arbiter knows them.

Each key that was joined leads to another one, and in the end to the user whose profile it is part of: aliases form a
forest, its *roots* are the users. What a key leads to here is what the key's home was told. A look-up shortens the
paths it walks, as of union-find, so that later letters go straight to the root; whoever asks tells the homes.

Guarantees: no circle; at most `MAX_TREE` keys lead to one root; one look-up moves at most `MOVES_AT_ONCE` keys.

Reference: Tarjan & van Leeuwen, "Worst-case analysis of set union algorithms", JACM 1984.
"""

from __future__ import annotations

from dataclasses import dataclass, field

MAX_TREE = 1_000
"""Known users that may be joined into one: as many ids as a profile holds."""
MOVES_AT_ONCE = 16

Move = tuple[str, str, str]
"""(key, what it led to, its root)"""


@dataclass(slots=True)
class Forest:
    parents: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    """root -> keys that were joined into it"""
    asked: dict[str, int] = field(default_factory=dict)
    """When each key's alias was asked for, ms UTC."""

    def root(self, key: str) -> str:
        """Where a key leads in the end: itself, if it was never joined."""
        while key in self.parents:
            key = self.parents[key]
        return key

    def find(self, key: str) -> tuple[str, list[Move]]:
        """The root of a key, and the keys on the way that lead straight to it from now on."""
        root = self.root(key)
        moves: list[Move] = []
        while key != root and self.parents[key] != root and len(moves) < MOVES_AT_ONCE:
            was = self.parents[key]
            self.parents[key] = root
            moves.append((key, was, root))
            key = was
        return root, moves

    def has_room(self, previous: str, root: str) -> bool:
        return self.sizes.get(root, 0) + 1 + self.sizes.get(previous, 0) <= MAX_TREE

    def join(self, previous: str, user: str, root: str, at: int) -> None:
        """A root is joined into ``user``, which leads to another root."""
        self.parents[previous], self.asked[previous] = user, at
        self.sizes[root] = self.sizes.get(root, 0) + 1 + self.sizes.pop(previous, 0)

    def forget(self, key: str, erased_at: int) -> None:
        """An erased key leads nowhere any more, and is nobody's root: all that led to it are erased as well.

        An alias asked for after the erasure holds, here as at the key's home, whichever came first.
        """
        self.sizes.pop(key, None)
        if key not in self.parents or self.asked.get(key, 0) > erased_at:
            return
        root = self.root(key)
        del self.parents[key]
        self.asked.pop(key, None)
        left = self.sizes.get(root, 0) - 1
        if left > 0:
            self.sizes[root] = left
        else:
            self.sizes.pop(root, None)

    def count(self) -> None:
        """Find the sizes, of a forest that an older release wrote without them."""
        self.sizes = {}
        for key in self.parents:
            root = self.root(key)
            self.sizes[root] = self.sizes.get(root, 0) + 1
