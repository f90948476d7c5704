"""Draws lift by day: a line with its band at every look, and the current value in words.

Points are in a square of 100 by 100 that is stretched over the width. The first looks are so wide that they would hide
everything else, so the axis fits the newest look, and what lies beyond is cut off at the edge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serve_apps.gateway.pages.formats import count, number, percent, signed
from serve_apps.gateway.services.lift_days import AnyLook, AnytimeDocument, DayDocument
from serve_apps.gateway.services.report import NotYetDocument
from whisperer.evaluation.lift import SUSPICIOUS_P

_BEYOND = 3.0
"""How far the axis extends beyond the newest interval, in half widths of it."""
_COMPARISONS: tuple[tuple[Callable[[DayDocument], AnyLook], str], ...] = (
    (lambda day: day.lift, "policy over holdout"),
    (lambda day: day.uniform_lift, "uniform over holdout"),
    (lambda day: day.over_uniform, "policy over uniform"),
)


@dataclass(frozen=True, slots=True)
class DaysPicture:
    """``line`` and ``band`` are points of a polyline and a polygon, "" if there is nothing to draw yet.

    ``certain`` is as in :class:`serve_apps.gateway.pages.pictures.Interval`; ``warning`` is "" if group sizes match.
    """

    zero: float
    line: str
    band: str
    certain: str
    first: str
    last: str
    comparisons: list[tuple[str, str]]
    joined: str
    warning: str


def days_picture(days: Sequence[DayDocument]) -> DaysPicture | None:
    """Draw the ``data`` of `GET /v1/campaigns/{name}/report/days`; None if it has no day."""
    if not days:
        return None
    newest = days[-1]
    known = [(at, day.lift) for at, day in enumerate(days) if isinstance(day.lift, AnytimeDocument)]
    zero, line, band, certain = 50.0, "", "", "unclear"
    if len(known) > 1:
        last = known[-1][1]
        reach = (last.high - last.low) / 2 * _BEYOND or 1.0
        low, high = min(0.0, last.low - reach), max(0.0, last.high + reach)

        def y(value: float) -> float:
            return float(round(100 * (high - min(max(value, low), high)) / (high - low), 2))

        x = [round(100 * (at - known[0][0]) / (known[-1][0] - known[0][0]), 2) for at, _ in known]
        tops = [(at, y(one.high)) for at, (_, one) in zip(x, known, strict=True)]
        bottoms = [(at, y(one.low)) for at, (_, one) in zip(x, known, strict=True)]
        line = _points([(at, y(one.difference)) for at, (_, one) in zip(x, known, strict=True)])
        band, zero = _points([*tops, *bottoms[::-1]]), y(0.0)
        certain = "above" if last.low > 0 else "below" if last.high < 0 else "unclear"
    ratio = newest.sample_ratio
    warning = f"p = {number(ratio.p_value)}, below {number(SUSPICIOUS_P)}" if ratio.suspicious else ""
    users = sum(group.users for group in newest.groups)
    return DaysPicture(
        zero,
        line,
        band,
        certain,
        days[known[0][0]].day if known else days[0].day,
        newest.day,
        [(label, _told(days, get)) for get, label in _COMPARISONS],
        f"{count(users)} users whose window has closed",
        warning,
    )


def _told(days: Sequence[DayDocument], get: Callable[[DayDocument], AnyLook]) -> str:
    lift = get(days[-1])
    if isinstance(lift, NotYetDocument):
        return f"not yet: {lift.not_yet}"
    ends = f"{number(_short(lift.low))} to {number(_short(lift.high))}"
    text = f"{signed(_short(lift.difference))} per user ({percent(lift.level)} at all looks: {ends})"
    if not lift.decided:
        return f"{text}, not decided"
    since = days[-1].day
    for day in reversed(days):
        look = get(day)
        if isinstance(look, NotYetDocument) or not look.decided:
            break
        since = day.day
    return f"{text}, decided since {since}"


def _short(value: float) -> float:
    return float(f"{value:.3g}")


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:g},{y:g}" for x, y in pairs)
