"""Remember a campaign's rewards: per arm, the sufficient statistics of a linear regression on the context.

Guarantees: statistics of several learners add up, in any order; a reward can be replaced by a later one without a
trace; forgetting is one factor applied to everything, by whole UTC days of reward time, and stronger on days of *short
memory*, which an alarm requests. Any width of context works; only the product's own (`D`) is stored. Leaves to others:
which rewards count (:mod:`whisperer.feedback.ledger`), what is believed because of them
(:mod:`whisperer.decisions.posterior`) and when memory is short (:mod:`whisperer.decisions.drift`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.decisions.context import CONTEXT_VERSION, SCORE, D
from whisperer.errors import InputError

FORM_VERSION = 1
SHORT_MEMORY = 0.8
"""Weight that remains after a day, on days of short memory."""
_BEFORE_SCORES = 1
"""The context's version before column `SCORE` was added."""
_FLOAT = "<f8"


class OtherContextError(InputError):
    """Raised for statistics kept over another version of the context, which mean nothing over this one."""


@dataclass(slots=True, eq=False)
class ArmStatistics:
    """Sums over an arm's decisions, each with its weight w.

    Attributes
    ----------
    gram : float64, shape (width, width), sum of w x x'
    moment : float64, shape (width,), sum of w r x
    n : sum of w
    squares : sum of w r^2
    """

    gram: NDArray[np.float64] = field(default_factory=lambda: np.zeros((D, D)))
    moment: NDArray[np.float64] = field(default_factory=lambda: np.zeros(D))
    n: float = 0.0
    squares: float = 0.0

    @classmethod
    def of_width(cls, width: int) -> ArmStatistics:
        """Return empty statistics over a context of ``width`` columns."""
        return cls(np.zeros((width, width)), np.zeros(width))

    def add(self, x: NDArray[np.float64], reward: NDArray[np.float64], weight: NDArray[np.float64]) -> None:
        """Count decisions: ``x`` (m, width), ``reward`` and ``weight`` (m,)."""
        weighted = x * weight[:, None]
        self.gram += weighted.T @ x
        self.moment += reward @ weighted
        self.n += float(weight.sum())
        self.squares += float(weight @ reward**2)

    def replace(
        self,
        x: NDArray[np.float64],
        old: NDArray[np.float64],
        new: NDArray[np.float64],
        weight: NDArray[np.float64],
    ) -> None:
        """Count ``new`` in place of ``old``, counted with the same ``x`` and ``weight``: as if it always had been."""
        self.moment += (weight * (new - old)) @ x
        self.squares += float(weight @ (new**2 - old**2))

    def discount(self, factor: float) -> None:
        """Forget: multiply every weight so far by ``factor`` in [0, 1]."""
        self.gram *= factor
        self.moment *= factor
        self.n *= factor
        self.squares *= factor

    def __add__(self, other: ArmStatistics) -> ArmStatistics:
        return ArmStatistics(
            self.gram + other.gram, self.moment + other.moment, self.n + other.n, self.squares + other.squares
        )


class _Encoded(msgspec.Struct, array_like=True, frozen=True):
    form: int
    context: int
    day: int
    discount_per_day: float
    arms: list[str]
    n: list[float]
    squares: list[float]
    gram: bytes
    moment: bytes
    short: list[tuple[int, int]] = []


class CampaignStatistics:
    """Hold every arm of one campaign, `no_send` among them, as of a day.

    Parameters
    ----------
    discount_per_day : weight that remains of a reward after a day, in (0, 1]
    day : UTC day (days since 1970) that weights refer to; -1 before the first reward
    width : columns of the context

    Attributes
    ----------
    short : days of short memory, as (first, one after the last), in order, disjoint

    Examples
    --------
    >>> one, other = CampaignStatistics(), CampaignStatistics()
    >>> one.arm("a").add(np.ones((1, D)), np.ones(1), one.weights(np.array([20_000])))
    >>> other.arm("a").add(np.ones((1, D)), np.ones(1), other.weights(np.array([20_001])))
    >>> (one + other).arm("a").n  # a reward a day older counts for less
    1.99
    """

    __slots__ = ("arms", "day", "discount_per_day", "short", "width")

    def __init__(self, discount_per_day: float = 0.99, day: int = -1, width: int = D) -> None:
        if not 0.0 < discount_per_day <= 1.0:
            raise ValueError(f"a discount is in (0, 1], not {discount_per_day}")
        self.discount_per_day = discount_per_day
        self.day = day
        self.width = width
        self.short: list[tuple[int, int]] = []
        self.arms: dict[str, ArmStatistics] = {}

    def arm(self, name: str) -> ArmStatistics:
        """Return the arm's statistics, creating them empty if it is new."""
        found = self.arms.get(name)
        if found is None:
            found = self.arms[name] = ArmStatistics.of_width(self.width)
        return found

    def weights(self, days: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the current weight of rewards of these UTC days; the newest day so far ages everything earlier."""
        if days.size and int(days.max()) > self.day:
            self.advance(int(days.max()))
        return self._remains(days, self.day)

    def advance(self, day: int) -> None:
        """Refer weights to ``day``; an earlier one changes nothing."""
        if day > self.day:
            factor = self._factor(day)
            for arm in self.arms.values():
                arm.discount(factor)
        self.day = max(self.day, day)

    def shorten_memory(self, days: int) -> None:
        """For ``days`` days from today, let each day take at least 1 - SHORT_MEMORY of all weight."""
        first, end = self.day, self.day + days
        if self.short and self.short[-1][1] >= first:
            first, end = self.short[-1][0], max(end, self.short.pop()[1])
        self.short.append((first, end))

    def _remains(self, days: NDArray[np.int64], day: int) -> NDArray[np.float64]:
        """Return the weight that rewards of ``days`` have on ``day``: a product over the nights between, either way."""
        nights = np.asarray(day - days, np.float64)
        short = np.zeros_like(nights)
        for first, end in self.short:
            short += np.clip(day, first, end) - np.clip(days, first, end)
        faster = min(SHORT_MEMORY / self.discount_per_day, 1.0)
        return np.asarray(self.discount_per_day**nights * faster**short, np.float64)

    def _factor(self, day: int) -> float:
        """Return the factor that turns a weight as of now into one as of ``day``."""
        return float(self._remains(np.array([self.day]), day)[0]) if self.day >= 0 else 1.0

    def __add__(self, other: CampaignStatistics) -> CampaignStatistics:
        """Add both as of the later day. Each is aged by its own days of short memory; the sum keeps those of both.

        Raises ValueError if their daily discounts or contexts differ.
        """
        if (self.discount_per_day, self.width) != (other.discount_per_day, other.width):
            raise ValueError("statistics that forget at different rates, or of other widths, do not add up")
        total = CampaignStatistics(self.discount_per_day, max(self.day, other.day), self.width)
        total.short = _united([*self.short, *other.short])
        for part in (self, other):
            older = part._factor(total.day)
            for name, arm in part.arms.items():
                aged = ArmStatistics.of_width(self.width) + arm
                aged.discount(older)
                total.arms[name] = total.arm(name) + aged
        return total

    def to_bytes(self) -> bytes:
        """Serialise, for :meth:`from_bytes`."""
        arms = self.arms.values()
        return msgspec.msgpack.encode(
            _Encoded(
                FORM_VERSION,
                CONTEXT_VERSION,
                self.day,
                self.discount_per_day,
                list(self.arms),
                [arm.n for arm in arms],
                [arm.squares for arm in arms],
                b"".join(arm.gram.astype(_FLOAT).tobytes() for arm in arms),
                b"".join(arm.moment.astype(_FLOAT).tobytes() for arm in arms),
                self.short,
            )
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> CampaignStatistics:
        """Read statistics.

        Raises OtherContextError, and msgspec.ValidationError for bytes that :meth:`to_bytes` did not write.
        """
        read = msgspec.msgpack.decode(data, type=_Encoded)
        if read.form != FORM_VERSION or read.context not in (CONTEXT_VERSION, _BEFORE_SCORES):
            raise OtherContextError(f"form {read.form} over context {read.context}")
        made = cls(read.discount_per_day, read.day)
        made.short = read.short
        width = D - (read.context == _BEFORE_SCORES)
        grams = np.frombuffer(read.gram, _FLOAT).reshape(-1, width, width)
        moments = np.frombuffer(read.moment, _FLOAT).reshape(-1, width)
        if width < D:  # nobody had a score then
            grams = np.insert(np.insert(grams, SCORE, 0.0, axis=1), SCORE, 0.0, axis=2)
            moments = np.insert(moments, SCORE, 0.0, axis=1)
        for at, name in enumerate(read.arms):
            made.arms[name] = ArmStatistics(grams[at].copy(), moments[at].copy(), read.n[at], read.squares[at])
        return made


def _united(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the same days, in order, disjoint."""
    united: list[tuple[int, int]] = []
    for first, end in sorted(spans):
        if united and first <= united[-1][1]:
            first, end = united[-1][0], max(end, united.pop()[1])
        united.append((first, end))
    return united
