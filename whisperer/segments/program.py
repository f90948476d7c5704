"""Compile a predicate to run over batches of users.

Guarantees of :meth:`Program.evaluate`: membership is what the predicate says at ``rows.now``; before a user's
``next_check_at`` it cannot change unless an event, a trait or a feature of that user does. The bound is tight if that
is cheap: a user kept out of an ``all`` by a trait needs no check, whatever the other parts' clocks say. Equal leaves
are evaluated once. Asking again when something has changed is left to the shard; ``trait_tests``, ``events``,
``features`` and ``uses_last_seen`` say what can matter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from whisperer.segments.canonical import canonical_json
from whisperer.segments.clock import NEVER, Times, has_clock, next_change
from whisperer.segments.errors import PredicateError
from whisperer.segments.limits import MAX_PROBLEMS
from whisperer.segments.parse import unknown_feature
from whisperer.segments.predicate import (
    AllOf,
    AnyOf,
    EventLeaf,
    FeatureLeaf,
    Not,
    Predicate,
    SeenLeaf,
    TraitLeaf,
    leaves,
)
from whisperer.segments.rows import FeatureSpec, Rows
from whisperer.segments.trait_test import TraitTest
from whisperer.segments.truth import Test, truth

_Answer: TypeAlias = tuple[NDArray[np.bool_], Times]


@dataclass(frozen=True, slots=True)
class _Leaf:
    index: int


@dataclass(frozen=True, slots=True)
class _Inverted:
    part: _Node


@dataclass(frozen=True, slots=True)
class _Combined:
    conjunction: bool
    parts: tuple[_Node, ...]


_Node: TypeAlias = _Leaf | _Inverted | _Combined


@dataclass(frozen=True, slots=True)
class Program:
    predicate: Predicate
    trait_tests: tuple[TraitTest, ...]
    """Distinct tests, in the order written."""
    events: frozenset[str]
    """Names of the events that are counted."""
    features: frozenset[str]
    uses_last_seen: bool
    uses_clock: bool
    """False: ``next_check_at`` is always NEVER."""
    _tests: tuple[tuple[Test, FeatureSpec | None], ...] = field(repr=False)
    _root: _Node = field(repr=False)

    @property
    def n_tests(self) -> int:
        """Number of distinct leaves, roughly the cost of evaluating."""
        return len(self._tests)

    def evaluate(self, rows: Rows) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Decide who is a member now, and when to ask again at the latest.

        Returns
        -------
        member : bool, shape (n,)
        next_check_at : int64, shape (n,), ms UTC, after ``rows.now``; int64's maximum if time changes nothing
        """
        answers: list[_Answer] = []
        for test, spec in self._tests:
            holds = truth(test, rows)
            answers.append((holds, next_change(test, holds, rows, spec)))
        member, check_at = _evaluate(self._root, answers, rows.n)
        # A copy: a lone leaf's answer may be the shard's own cached array.
        return np.array(member, np.bool_), np.full(rows.n, NEVER, np.int64) if check_at is None else check_at


def compile(predicate: Predicate, features: Mapping[str, FeatureSpec]) -> Program:
    """Bind a parsed predicate to the existing features.

    Raises
    ------
    PredicateError : ``unknown_feature`` for each leaf that names none of ``features``.
    """
    unknown = [
        unknown_feature(pointer, leaf.feature, features)
        for pointer, leaf in leaves(predicate)
        if isinstance(leaf, FeatureLeaf) and leaf.feature not in features
    ]
    if unknown:
        raise PredicateError(unknown[:MAX_PROBLEMS])
    tests: dict[bytes, tuple[Test, FeatureSpec | None]] = {}
    root = _build(predicate, features, tests, {})
    found = [test for test, _ in tests.values()]
    return Program(
        predicate=predicate,
        trait_tests=tuple(test for test in found if isinstance(test, TraitTest)),
        events=frozenset(test.event for test in found if isinstance(test, EventLeaf)),
        features=frozenset(test.feature for test in found if isinstance(test, FeatureLeaf)),
        uses_last_seen=any(isinstance(test, SeenLeaf) for test in found),
        uses_clock=any(has_clock(test, spec) for test, spec in tests.values()),
        _tests=tuple(tests.values()),
        _root=root,
    )


def _build(
    node: Predicate,
    features: Mapping[str, FeatureSpec],
    tests: dict[bytes, tuple[Test, FeatureSpec | None]],
    places: dict[bytes, int],
) -> _Node:
    match node:
        case AllOf(parts) | AnyOf(parts):
            return _Combined(isinstance(node, AllOf), tuple(_build(part, features, tests, places) for part in parts))
        case Not(part):
            return _Inverted(_build(part, features, tests, places))
    key = canonical_json(node)
    if key not in tests:
        places[key] = len(tests)
        test: Test = TraitTest.of(node) if isinstance(node, TraitLeaf) else node
        tests[key] = test, features[node.feature] if isinstance(node, FeatureLeaf) else None
    return _Leaf(places[key])


def _evaluate(node: _Node, answers: Sequence[_Answer], n: int) -> _Answer:
    match node:
        case _Leaf(index):
            return answers[index]
        case _Inverted(part):
            holds, check_at = _evaluate(part, answers, n)
            return ~holds, check_at
        case _Combined(conjunction, parts):
            return _combine(conjunction, [_evaluate(part, answers, n) for part in parts], n)


def _combine(conjunction: bool, parts: Sequence[_Answer], n: int) -> _Answer:
    """Combine the answers of an ``all`` or ``any``. An ``all`` that holds lasts until its first part may fail; one that
    fails lasts until the last of its failing parts may hold. An ``any`` is the same with the answers inverted.
    """
    unbroken = np.ones(n, np.bool_)
    first = last = None
    for holds, check_at in parts:
        agrees = holds if conjunction else ~holds
        unbroken &= agrees
        if check_at is not None:
            first = check_at if first is None else np.minimum(first, check_at)
    if first is None:
        return unbroken if conjunction else ~unbroken, None
    if not unbroken.all():
        last = np.zeros(n, np.int64)
        for holds, check_at in parts:
            np.maximum(last, NEVER if check_at is None else check_at, out=last, where=holds ^ conjunction)
    member = unbroken if conjunction else ~unbroken
    return member, first if last is None else np.where(unbroken, first, last)
