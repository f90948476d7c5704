"""Limit how large a question may be. A larger one is refused before any work is spent on it."""

from __future__ import annotations

from whisperer.vocabulary.units import DAY_MS

MAX_NAME = 256
"""Characters of an event's name, a property's or a trait's path, a label."""
MAX_DAYS = 1_100
"""Of a question's period."""
MAX_BUCKETS = 2_000
"""Hours, days, weeks or months of one answer."""
MAX_SERIES = 10
MAX_CELLS = 100_000
"""Numbers in an answer about trends."""
MAX_STEPS = 20
"""Of a funnel, exclusions included: what fits next to a time and a place among them into 63 bits."""
MAX_EXCLUSIONS = 5
MAX_STEPS_BROKEN_DOWN = 14
"""The same, where a value of a breakdown has to fit in as well."""
MAX_WINDOW_S = 366 * 86_400
MAX_VALUES = 100
"""Values of a breakdown; the rest is added up as one."""
USUAL_VALUES = 10
MAX_PERIODS = 400
"""Of retention, after a cohort's own."""
MAX_LABEL = 500
"""Characters of a value that an answer shows."""
OLDEST_MS = 366 * DAY_MS
"""No period begins before 1971: no count of local days is negative."""
