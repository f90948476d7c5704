"""Lets a launcher report what it is doing to whoever shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass
class Progress:
    """Where the launcher reports what it is doing. Silent by default; the command line shows it."""

    step: Callable[[str], None] = lambda _what: None
    waiting_for: Callable[[str], None] = lambda _detail: None
