"""Explain why a user is in a segment or not: each part of the predicate with its answer and the value it saw."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from msgspec import Struct

from whisperer.segments.describe import describe
from whisperer.segments.paths import split_path, value_at
from whisperer.segments.predicate import AllOf, AnyOf, EventLeaf, FeatureLeaf, Not, Predicate, SeenLeaf, TraitLeaf
from whisperer.segments.rows import Rows
from whisperer.segments.trait_test import TraitTest
from whisperer.segments.truth import truth


class Explanation(Struct, frozen=True, omit_defaults=True):
    """Explain one node of the tree; ready for ``msgspec.to_builtins``.

    ``seen`` is what a leaf looked at: the trait's value, the feature's, the event's count, or last-seen in ms UTC; None
    (left out of JSON) if there is none.
    """

    kind: Literal["all", "any", "not", "trait", "feature", "event", "seen"]
    text: str
    holds: bool
    seen: Any = None
    parts: tuple[Explanation, ...] = ()


def explain(predicate: Predicate, rows: Rows, traits: Mapping[str, Any], index: int = 0) -> Explanation:
    """Explain the user in row ``index``, best in a batch of one, whose decoded traits are ``traits``.

    ``rows`` is asked for features by the names in the predicate: check these first with
    :func:`~whisperer.segments.program.compile`.
    """
    text = describe(predicate)
    match predicate:
        case AllOf(children) | AnyOf(children):
            parts = tuple(explain(child, rows, traits, index) for child in children)
            if isinstance(predicate, AllOf):
                return Explanation("all", text, all(part.holds for part in parts), parts=parts)
            return Explanation("any", text, any(part.holds for part in parts), parts=parts)
        case Not(child):
            part = explain(child, rows, traits, index)
            return Explanation("not", text, not part.holds, parts=(part,))
        case TraitLeaf(trait):
            found = value_at(traits, split_path(trait) or ())
            return Explanation("trait", text, TraitTest.of(predicate).matches(traits), found)
    holds = bool(truth(predicate, rows)[index])
    match predicate:
        case FeatureLeaf(name):
            value = float(rows.feature(name)[index])
            return Explanation("feature", text, holds, None if np.isnan(value) else value)
        case EventLeaf(event, _, _, days):
            return Explanation("event", text, holds, int(rows.event_count(event, days)[index]))
        case SeenLeaf():
            last_seen = int(rows.last_seen()[index])
            return Explanation("seen", text, holds, None if last_seen < 0 else last_seen)
