"""Hold one thing that is wrong inside a text, with the line and column where it is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Flaw:
    """Describe one thing that is wrong, and what to do about it; ``line`` and ``column`` count from 1."""

    code: str
    message: str
    line: int
    column: int

    @property
    def sentence(self) -> str:
        """Return the message with its place in front."""
        return f"line {self.line}, column {self.column}: {self.message}"
