"""Computes the geometry of the small pictures: shares that add up, bars next to one another, an interval around zero.

Coordinates are per cent of the width, so that a picture stretches with the page while its lines and dots keep their
shape. The templates draw; everything a picture shows is also there as text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serve_apps.gateway.pages.formats import THIN, count, number, percent, signed
from serve_apps.gateway.services.report import AnyLift, LiftDocument, NotYetDocument
from whisperer.evaluation.lift import HOLDOUT_BELOW_ZERO, HOLDOUT_NEAR_ZERO
from whisperer.vocabulary.reasons import SENTENCES, Reason

_MARGIN = 0.08  # of the width, left free on both sides of an interval


@dataclass(frozen=True, slots=True)
class Slice:
    """One part of a whole. ``x`` and ``width`` are per cent; ``share`` is text, and all shares add up to 100."""

    kind: str
    label: str
    title: str
    n: int
    share: str
    x: float
    width: float


def accounting(
    candidates: int, sent: int, no_send: int, refused: Mapping[str, int], pending: int
) -> tuple[list[Slice], int]:
    """Return what candidates became, without empty parts, and how many are unaccounted for (always 0)."""
    rows = [("sent", "sent", "a provider accepted the message", sent)]
    rows.append(("no-send", "no_send", "it was decided to leave the user alone", no_send))
    rows += [
        ("refused", words(reason), f"refused: {sentence(reason)}", n)
        for reason, n in sorted(refused.items(), key=lambda item: (-item[1], item[0]))
    ]
    rows.append(("pending", "pending", "not decided, or not sent yet", pending))
    present = [row for row in rows if row[3] > 0]
    shares = _adding_up([n for *_, n in present])
    whole = sum(n for *_, n in present)
    parts, x, n_refused = [], 0.0, 0
    for (kind, label, title, n), share in zip(present, shares, strict=True):
        if kind == "refused":
            kind, n_refused = f"refused-{n_refused % 3}", n_refused + 1  # neighbours differ
        width = 100 * n / whole
        parts.append(Slice(kind, label, title, n, share, round(x, 3), round(width, 3)))
        x += width
    return parts, candidates - whole


def words(reason: str) -> str:
    return reason.replace("_", " ")


def sentence(reason: str) -> str:
    """Say why a user was not reached; a later release's reason is returned as it is."""
    return SENTENCES[Reason(reason)] if reason in Reason.__members__.values() else words(reason)


def _adding_up(counts: Sequence[int]) -> list[str]:
    """Round shares to tenths of a per cent by the method of largest remainders, so that they add up to 100."""
    whole = sum(counts)
    if whole == 0:
        return []
    tenths = [1000 * n // whole for n in counts]
    by_remainder = sorted(range(len(counts)), key=lambda i: -(1000 * counts[i] % whole))
    for i in by_remainder[: 1000 - sum(tenths)]:
        tenths[i] += 1
    return [f"{'<0.1' if t == 0 else _plain(t)}{THIN}%" for t in tenths]


def _plain(tenths: int) -> str:
    return str(tenths // 10) if tenths % 10 == 0 else f"{tenths / 10:.1f}"


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of a bar chart; ``width`` is per cent."""

    label: str
    n: int
    width: float


def bars(counts: Mapping[str, int] | Sequence[tuple[str, int]], most: int | None = None) -> list[Bar]:
    """Return one bar per row, the longest over the whole width; rows beyond ``most`` are combined into one."""
    rows = list(counts.items() if isinstance(counts, Mapping) else counts)
    if most is not None and len(rows) > most:
        rest = rows[most - 1 :]
        rows = [*rows[: most - 1], (f"{len(rest)} more", sum(n for _, n in rest))]
    longest = max((n for _, n in rows), default=0) or 1
    return [Bar(label, n, round(100 * n / longest, 2)) for label, n in rows]


@dataclass(frozen=True, slots=True)
class Interval:
    """A point with its interval on a shared axis.

    ``certain`` is "above" or "below" if the whole interval is on one side of zero, else "unclear".
    """

    low: float
    point: float
    high: float
    certain: str


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one group brought over the holdout, or (``interval`` None) why that is not known yet."""

    label: str
    interval: Interval | None
    headline: str
    text: str
    users: str


@dataclass(frozen=True, slots=True)
class LiftPicture:
    """Estimates on one axis; ``zero`` is its zero, in per cent."""

    zero: float
    estimates: list[Estimate]


def lift_picture(policy: AnyLift, uniform: AnyLift) -> LiftPicture:
    """Compare policy and uniform with the holdout, on one axis."""
    known = [lift for lift in (policy, uniform) if isinstance(lift, LiftDocument)]
    ends = [0.0, *(lift.low for lift in known), *(lift.high for lift in known)]
    place = axis(ends)
    scale, unit = (1.0, "per user") if max(map(abs, ends)) >= 1 else (100.0, "per 100 users")
    return LiftPicture(
        place(0.0),
        [_estimate(label, lift, place, scale, unit) for label, lift in (("policy", policy), ("uniform", uniform))],
    )


class axis:  # noqa: N801  used as a function
    """Map a value to its place, between the smallest and the largest of ``values`` with a margin."""

    def __init__(self, values: Sequence[float]) -> None:
        self._low, high = min(values), max(values)
        self._span = (high - self._low) or 1.0

    def __call__(self, value: float) -> float:
        return round(100 * (_MARGIN + (1 - 2 * _MARGIN) * (value - self._low) / self._span), 2)


_NO_SHARE = {
    HOLDOUT_NEAR_ZERO: "the holdout's own result may be 0",
    HOLDOUT_BELOW_ZERO: "the holdout's own result is below 0",
}


def _estimate(label: str, lift: AnyLift, place: axis, scale: float, unit: str) -> Estimate:
    if isinstance(lift, NotYetDocument):
        return Estimate(label, None, "not yet", lift.not_yet, "")
    low, point, high, relative = lift.low, lift.difference, lift.high, lift.relative
    certain = "above" if low > 0 else "below" if high < 0 else "unclear"
    headline = signed(_rounded(point * scale)) if relative is None else _signed_percent(relative)
    more = "more" if point >= 0 else "fewer"
    text = (
        f"{number(_rounded(abs(point) * scale))} {more} {unit} "
        f"(95 %: {number(_rounded(low * scale))} to {number(_rounded(high * scale))})"
    )
    least, greatest = lift.relative_low, lift.relative_high
    if relative is not None and least is not None and greatest is not None:
        text += f", which is {headline} (95 %: {_signed_percent(least)} to {_signed_percent(greatest)})"
    elif (why := _NO_SHARE.get(lift.relative_reason)) is not None:
        text += f". No relative lift is stated: {why}"
    users = f"{count(lift.users)} users against {count(lift.holdout_users)} in the holdout"
    users += f", resting on as much as {count(round(lift.rests_on))} equal outcomes"
    return Estimate(label, Interval(place(low), place(point), place(high), certain), headline, text, users)


def _rounded(value: float) -> float:
    return float(f"{value:.3g}")


def _signed_percent(value: float) -> str:
    return ("+" if value > 0 else "\u2212" if value < 0 else "") + percent(abs(value))
