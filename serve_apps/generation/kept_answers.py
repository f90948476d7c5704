"""Keeps answers for a while: equal questions get equal answers, without asking again.

What is kept passed the guardrails and holds placeholders, nothing of the user it was made for; a tenant's questions
name the tenant, so no other's are found. Bounded by count and by characters. Use from one event loop.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

MAX_KEPT = 4_096
MAX_CHARS = 8_000_000
KEEP_S = 3_600.0


class KeptAnswers:
    """Answers by the digest of their question."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, tuple[float, Mapping[str, str]]] = OrderedDict()
        self._n_chars = 0

    def get(self, key: str, now_s: float) -> Mapping[str, str] | None:
        """Return the slots that were kept at most KEEP_S ago."""
        held = self._kept.get(key)
        if held is None:
            return None
        if now_s - held[0] > KEEP_S:
            self._drop(key)
            return None
        self._kept.move_to_end(key)
        return held[1]

    def put(self, key: str, slots: Mapping[str, str], now_s: float) -> None:
        """Keep slots; the longest out of use go."""
        if key in self._kept:
            self._drop(key)
        self._kept[key] = (now_s, slots)
        self._n_chars += _size(slots)
        while len(self._kept) > MAX_KEPT or self._n_chars > MAX_CHARS:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: str) -> None:
        self._n_chars -= _size(self._kept.pop(key)[1])


def _size(slots: Mapping[str, str]) -> int:
    return sum(map(len, slots.values()))
