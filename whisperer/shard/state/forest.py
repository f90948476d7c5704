"""Record which key was joined into which: a tenant's accepted aliases, as their arbiter knows them.

Each joined key leads to another key, and in the end to the user whose profile it is part of: aliases form a forest
whose *roots* are the users. What a key leads to here is what the key's home was told. A lookup shortens the paths it
walks, as in union-find, so that later letters go straight to the root; the caller notifies the keys' homes.

Guarantees: no cycle; at most `MAX_TREE` keys lead to one root; one lookup moves at most `MOVES_AT_ONCE` keys.

Reference: Tarjan & van Leeuwen, "Worst-case analysis of set union algorithms", JACM 1984.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from whisperer.ids import UserKey

MAX_TREE = 1_000
"""Known users that may be joined into one: as many ids as a profile holds."""
MOVES_AT_ONCE = 16

Move = tuple[UserKey, UserKey, UserKey]
"""(key, what it led to, its root)"""


@dataclass(slots=True)
class Forest:
    """Hold a tenant's accepted aliases."""

    parents: dict[UserKey, UserKey] = field(default_factory=dict)
    sizes: dict[UserKey, int] = field(default_factory=dict)
    """root -> number of keys joined into it"""
    asked: dict[UserKey, int] = field(default_factory=dict)
    """joined key -> when its alias was asked for, ms UTC"""

    def root(self, key: UserKey) -> UserKey:
        """Return the key that a key leads to in the end: itself, if it was never joined."""
        while key in self.parents:
            key = self.parents[key]
        return key

    def find(self, key: UserKey) -> tuple[UserKey, list[Move]]:
        """Return a key's root, and the moves of keys on the way that lead straight to it from now on."""
        root = self.root(key)
        moves: list[Move] = []
        while key != root and self.parents[key] != root and len(moves) < MOVES_AT_ONCE:
            was = self.parents[key]
            self.parents[key] = root
            moves.append((key, was, root))
            key = was
        return root, moves

    def has_room(self, previous: UserKey, root: UserKey) -> bool:
        """Return whether ``previous``, with all that leads to it, fits under ``root``."""
        return self.sizes.get(root, 0) + 1 + self.sizes.get(previous, 0) <= MAX_TREE

    def join(self, previous: UserKey, user: UserKey, root: UserKey, at: int) -> None:
        """Join the root ``previous`` into ``user``, which leads to ``root``; ``at``: when that was asked, ms UTC."""
        self.parents[previous], self.asked[previous] = user, at
        self.sizes[root] = self.sizes.get(root, 0) + 1 + self.sizes.pop(previous, 0)

    def forget(self, key: UserKey, erased_at: int) -> None:
        """Forget an erased key: it leads nowhere and is nobody's root, as all keys that led to it are erased as well.

        An alias asked for after the erasure holds, here as at the key's home, whichever arrived first.
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
        """Compute the sizes of a forest that an older release wrote without them."""
        self.sizes = {}
        for key in self.parents:
            root = self.root(key)
            self.sizes[root] = self.sizes.get(root, 0) + 1
