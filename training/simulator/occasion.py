"""Hold one moment at which a user could have been reached, with everything it could have led to; and sums over many.

An occasion is the start of a session. What every arm would have done then is fixed before anything is decided, so when
it is over, it is known what was done, what followed, and what any other policy could have expected in its place.
"""

from __future__ import annotations

from typing import Any

import msgspec

from whisperer.decisions.decision import NO_SEND

from .effects import ARMS, COST, UNSUBSCRIBE_COST


class Occasion(msgspec.Struct, array_like=True):
    """One occasion.

    Attributes
    ----------
    id : messageId of the session's event
    stamp_ms : when it happened, on the clock that stamps events
    chances, hazards : by arm, of reaching the goal and of unsubscribing
    reachable : by arm, whether the user has an address for it
    luck : the goal is reached if and only if this is below the chance
    arm : what was sent; `no_send` while nothing has come
    settled : whether the consequence is decided, by the message that came or because none came in time
    converted : whether the goal's event is on its way or was sent
    """

    id: str
    user: str
    stamp_ms: int
    chances: list[float]
    hazards: list[float]
    reachable: list[bool]
    luck: float
    arm: str = NO_SEND
    settled: bool = False
    converted: bool = False

    def converts(self, arm: str) -> bool:
        """Return whether the user reaches the goal under this arm."""
        return self.luck < self.chances[ARMS.index(arm)]

    def values(self) -> list[float]:
        """Return the expected reward by arm; an arm that cannot reach the user does nothing and costs nothing."""
        alone = self.chances[0]
        return [
            chance - float(COST[i]) - UNSUBSCRIBE_COST * hazard if self.reachable[i] else alone
            for i, (chance, hazard) in enumerate(zip(self.chances, self.hazards, strict=True))
        ]


class ArmSums(msgspec.Struct):
    """Sums over the occasions of one arm."""

    n: int = 0
    expected: float = 0.0
    converted: int = 0


class GroundTruth(msgspec.Struct):
    """Sums over finished occasions. ``value`` and ``conversions``: expected totals by policy. Among them is
    ``as_it_was``, what the system really did, including its holdout and its refusals."""

    n: int = 0
    arms: dict[str, ArmSums] = {}
    value: dict[str, float] = {}
    conversions: dict[str, float] = {}

    def add(self, occasion: Occasion) -> None:
        """Count a finished occasion."""
        done = ARMS.index(occasion.arm)
        sums = self.arms.setdefault(occasion.arm, ArmSums())
        sums.n += 1
        sums.expected += occasion.chances[done]
        sums.converted += occasion.converted
        self.n += 1
        values = occasion.values()
        chances = [c if ok else occasion.chances[0] for c, ok in zip(occasion.chances, occasion.reachable, strict=True)]
        can = [i for i, ok in enumerate(occasion.reachable) if ok]
        best = max(can, key=lambda i: values[i])
        for totals, of in ((self.value, values), (self.conversions, chances)):
            _add(totals, "as_it_was", of[done])
            _add(totals, "uniform", sum(of[i] for i in can) / len(can))
            _add(totals, "best", of[best])
            for i, arm in enumerate(ARMS):
                _add(totals, arm, of[i])

    def document(self) -> dict[str, Any]:
        """Return each policy's expected conversions and value per occasion, and its lift over leaving everyone
        alone."""

        def means(totals: dict[str, float]) -> dict[str, float]:
            return {policy: round(total / self.n, 6) for policy, total in totals.items()}

        conversions, value = means(self.conversions), means(self.value)
        return {
            "occasions": self.n,
            "converted": sum(sums.converted for sums in self.arms.values()),
            "conversions": conversions,
            "value": value,
            "lift": {policy: round(mean - conversions[NO_SEND], 6) for policy, mean in conversions.items()},
            "arms": {
                arm: {"occasions": sums.n, "expected": round(sums.expected, 3), "converted": sums.converted}
                for arm, sums in sorted(self.arms.items())
            },
        }


def _add(totals: dict[str, float], name: str, amount: float) -> None:
    totals[name] = totals.get(name, 0.0) + amount
