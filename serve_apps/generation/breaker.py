"""Leaves an endpoint alone that fails: after some failures in a row, for a while, then one question tries it.

Pure: the clock is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass

MOST_FAILURES = 8
"""In a row: of an endpoint that fails three times in ten, one question in 15,000 finds the eighth."""
FIRST_REST_S, LONGEST_REST_S = 1.0, 60.0


@dataclass(slots=True)
class Breaker:
    """The standing of one endpoint."""

    n_failed: int = 0
    rest_s: float = FIRST_REST_S
    until_s: float = 0.0
    is_probing: bool = False

    def may_ask(self, now_s: float) -> bool:
        """Return whether a question may go out; of those after a rest, one."""
        if self.n_failed < MOST_FAILURES:
            return True
        if now_s < self.until_s or self.is_probing:
            return False
        self.is_probing = True
        return True

    def succeeded(self) -> None:
        """Note an answer, whatever it said."""
        self.n_failed, self.rest_s, self.is_probing = 0, FIRST_REST_S, False

    def failed(self, now_s: float) -> None:
        """Note a question without an answer; after :data:`MOST_FAILURES` it rests, twice as long each time."""
        self.n_failed += 1
        if self.n_failed >= MOST_FAILURES and (self.is_probing or self.n_failed == MOST_FAILURES):
            self.until_s = now_s + self.rest_s
            self.rest_s = min(LONGEST_REST_S, 2 * self.rest_s)
        self.is_probing = False

    def let_go(self) -> None:
        """Note that a question was given up before it went out."""
        self.is_probing = False
