"""Give the words that cross processes one type."""

from __future__ import annotations

from enum import StrEnum
from typing import Any


class Named(StrEnum):
    """Be a word of a fixed set; it equals its text, and is pickled as text.

    So a process of another release, which may not know the class or the word, can read it all the same.
    """

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return str, (self.value,)
