"""Decides which rows of a chunk are skipped, and for which reason.

A condition that cannot be evaluated on a row (text that is not a time) does not hold there: the row is kept, and is
rejected later if the unreadable value is its own timestamp.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from msgspec import UNSET
from numpy.typing import NDArray

from .columns import Column
from .map_file import ImportMap, SkipWhen, Timestamp
from .times import parse_instant, to_ms
from .written import as_text


def keep_mask(columns: dict[str, Column], n_rows: int, rules: ImportMap) -> tuple[NDArray[np.bool_], Counter[str]]:
    """Return the rows to send, bool[n_rows], and how many are skipped per reason; the first condition that holds
    counts.
    """
    keep = np.ones(n_rows, bool)
    skipped: Counter[str] = Counter()
    for place, rule in enumerate(rules.skip_when):
        hit = keep & _holds(columns[rule.column], rule, rules, f"skip_when[{place}]")
        n_hit = int(np.count_nonzero(hit))
        if n_hit:
            skipped[rule.reason] += n_hit
            keep &= ~hit
    return keep, skipped


def _holds(column: Column, rule: SkipWhen, rules: ImportMap, where: str) -> NDArray[np.bool_]:
    if rule.is_ is not UNSET:
        null = column.is_null()
        return null if rule.is_ == "null" else ~null
    if rule.equals is not UNSET or rule.in_ is not UNSET:
        wanted = rule.in_ if rule.in_ is not UNSET else [rule.equals]
        texts = {as_text(value) for value in wanted}  # CSV has only text, so 5 and "5" are the same
        return np.array([v is not None and as_text(v) in texts for v in column.values()], bool)
    own = rules.timestamp is not None and rules.timestamp.column == rule.column
    reading = rules.timestamp if own and rules.timestamp is not None else Timestamp(column=rule.column)
    ms, valid = to_ms(column, reading)
    if rule.before is not UNSET:
        return valid & (ms < parse_instant(rule.before, reading.time_zone, where=f"{where}.before"))
    assert rule.at_or_after is not UNSET
    return valid & (ms >= parse_instant(rule.at_or_after, reading.time_zone, where=f"{where}.at_or_after"))
