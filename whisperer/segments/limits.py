"""Limit how large a predicate may be. A larger one is refused, naming the limit, before any work is spent on it."""

from __future__ import annotations

MAX_DEPTH = 16  # levels of all/any/not above a leaf
MAX_LEAVES = 64
MAX_NODES = 256  # leaves and combinators together
MAX_NAME = 256  # characters of a trait path, event or feature name
MAX_TEXT = 512  # characters of a text to compare with
MAX_VALUES = 256  # entries of a list to compare with
MAX_COUNT = 1_000_000_000
MAX_EVENT_DAYS = 90  # daily buckets are kept this long
MAX_SEEN_DAYS = 3_650
MAX_INT = 2**63 - 1
MAX_PROBLEMS = 100
