"""Test one user's traits: the part of a predicate that needs JSON rather than columns.

A test depends only on the traits, not even on time, so its answer may be cached for a user until one of that user's
traits changes. Two tests are the same if their keys are; a key is stable across releases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from whisperer.segments.canonical import canonical_json
from whisperer.segments.operators import TRAIT_OPERATORS, Check
from whisperer.segments.paths import split_path, value_at
from whisperer.segments.predicate import TraitLeaf

_decode_leaf = msgspec.json.Decoder(TraitLeaf).decode


@dataclass(frozen=True, slots=True, eq=False)
class TraitTest:
    key: str
    """The leaf's canonical JSON, from which :meth:`from_key` rebuilds the test."""

    trait: str
    """Name of the top-level trait that it reads; the answer changes only when this trait does."""

    path: tuple[str, ...] = field(repr=False)
    check: Check = field(repr=False)

    @classmethod
    def of(cls, leaf: TraitLeaf) -> TraitTest:
        """Build the test of a parsed leaf."""
        path = split_path(leaf.trait)
        assert path is not None, "the parser lets no empty path through"
        check = TRAIT_OPERATORS[leaf.op].build(leaf.value, leaf.ignore_case)
        return cls(canonical_json(leaf).decode(), path[0], path, check)

    @classmethod
    def from_key(cls, key: str) -> TraitTest:
        """Rebuild a test from its :attr:`key`."""
        return cls.of(_decode_leaf(key))

    def matches(self, traits: Mapping[str, Any]) -> bool:
        """Check if decoded JSON traits pass. Never raises."""
        return self.check(value_at(traits, self.path))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TraitTest) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __reduce__(self) -> tuple[Any, ...]:
        return TraitTest.from_key, (self.key,)
