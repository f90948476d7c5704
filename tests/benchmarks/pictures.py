"""Small line charts as SVG, so that a benchmark needs no plotting library where it runs.

A picture is a row of panels; a panel has lines over a common x axis, linear or logarithmic, and may have a dashed level
that was wanted. What a picture says is also in the JSON beside it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 420, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 14, 34, 46
_COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2", "#4b5563")
_N_TICKS = 5


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, y) in the order they are joined."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """``level`` draws a dashed line at a y that was wanted, ``level_name`` says what it is. ``bottom``: the least y shown."""

    title: str
    x_label: str
    y_label: str
    lines: Sequence[Line]
    log_x: bool = False
    level: float | None = None
    level_name: str = ""
    bottom: float = 0.0


def write(path: Path, panels: Sequence[Panel], note: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg(panels, note), "utf-8")


def svg(panels: Sequence[Panel], note: str = "") -> str:
    """The document; ``note`` stands small below, for hardware and date."""
    width, height = WIDTH * len(panels), HEIGHT + (18 if note else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="11" fill="#111827">',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    for number, panel in enumerate(panels):
        parts += [f'<g transform="translate({number * WIDTH} 0)">', *_panel(panel), "</g>"]
    if note:
        parts.append(f'<text x="8" y="{height - 6}" fill="#6b7280">{escape(note)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def short(value: float) -> str:
    """A number as an axis shows it: 250, 1.5 k, 10 M."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:.3g}"


def ticks(top: float) -> list[float]:
    """Round values from 0 up to the first at or above ``top``."""
    if top <= 0:
        return [0.0, 1.0]
    raw = top / _N_TICKS
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * size for factor in (1, 2, 2.5, 5, 10) if factor * size >= raw)
    return [step * n for n in range(math.ceil(top / step - 1e-9) + 1)]


def _panel(panel: Panel) -> list[str]:
    xs = [x for line in panel.lines for x, _ in line.points]
    ys = [y for line in panel.lines for _, y in line.points] + ([] if panel.level is None else [panel.level])
    if not xs:
        raise ValueError(f"the panel {panel.title!r} has no points")
    steps = [panel.bottom + step for step in ticks(max(ys) - panel.bottom)]
    low, high = _along(min(xs), panel.log_x), _along(max(xs), panel.log_x)

    def at_x(x: float) -> float:
        share = (_along(x, panel.log_x) - low) / (high - low) if high > low else 0.5
        return round(_LEFT + share * (WIDTH - _LEFT - _RIGHT), 1)

    def at_y(y: float) -> float:
        return round(HEIGHT - _BOTTOM - (y - steps[0]) / (steps[-1] - steps[0]) * (HEIGHT - _BOTTOM - _TOP), 1)

    parts = [f'<text x="{_LEFT}" y="16" font-size="13" font-weight="600">{escape(panel.title)}</text>']
    for step in steps:
        y = at_y(step)
        parts.append(f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{short(step)}</text>')
    for x in sorted(set(xs)):
        parts.append(f'<text x="{at_x(x)}" y="{HEIGHT - _BOTTOM + 15}" text-anchor="middle">{short(x)}</text>')
    middle = (_LEFT + WIDTH - _RIGHT) / 2
    parts.append(f'<text x="{middle}" y="{HEIGHT - 12}" text-anchor="middle">{escape(panel.x_label)}</text>')
    centre = (_TOP + HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text x="13" y="{centre}" text-anchor="middle" transform="rotate(-90 13 {centre})">'
        f"{escape(panel.y_label)}</text>"
    )
    if panel.level is not None:
        y = at_y(panel.level)
        parts.append(
            f'<line x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y}" y2="{y}" stroke="#6b7280" stroke-dasharray="5 4"/>'
        )
        parts.append(f'<text x="{WIDTH - _RIGHT}" y="{y - 4}" text-anchor="end">{escape(panel.level_name)}</text>')
    for number, line in enumerate(panel.lines):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{at_x(x)},{at_y(y)}" for x, y in line.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{at_x(x)}" cy="{at_y(y)}" r="2.5" fill="{colour}"/>' for x, y in line.points]
        if len(panel.lines) > 1:
            parts.append(
                f'<text x="{_LEFT + 8}" y="{_TOP + 10 + 14 * number}" fill="{colour}">{escape(line.name)}</text>'
            )
    return parts


def _along(x: float, log: bool) -> float:
    return math.log10(x) if log else x
