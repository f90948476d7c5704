"""Decide which users of a batch pass one leaf now."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from whisperer.segments.operators import COMPARE
from whisperer.segments.predicate import EventLeaf, FeatureLeaf, SeenLeaf
from whisperer.segments.rows import Rows
from whisperer.segments.trait_test import TraitTest
from whisperer.vocabulary.units import DAY_MS

Test = TraitTest | FeatureLeaf | EventLeaf | SeenLeaf
"""A leaf as it is evaluated: a trait leaf becomes a test, the others stay as they are."""


def truth(test: Test, rows: Rows) -> NDArray[np.bool_]:
    """Return whether each user passes: bool, shape (n,); it may be the rows' own array, so do not write to it."""
    match test:
        case TraitTest():
            return rows.trait_test(test)
        case FeatureLeaf(name, op, value):
            values = rows.feature(name)
            if value is None:
                absent = np.isnan(values)
                return absent if op == "not_exists" else ~absent
            return np.asarray(COMPARE[op](values, float(value)), np.bool_)  # NaN passes only `ne`
        case EventLeaf(event, op, count, days):
            return np.asarray(COMPARE[op](rows.event_count(event, days), count), np.bool_)
        case SeenLeaf(seen, days):
            last_seen = rows.last_seen()
            # The difference of two times cannot overflow; last_seen + days could.
            within = (last_seen >= 0) & (rows.now - last_seen < days * DAY_MS)
            return within if seen == "within" else ~within
