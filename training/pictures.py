"""Draw the report's pictures, as SVG to embed in a page: they take its text colour, so suit light and dark pages.

Guarantees: the same values give the same bytes; nothing is loaded from anywhere. Leaves to others: saying the same in
words and tables (:mod:`training.report`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from training.outcome import Attribution, Confusion, Policy, TestPredictions
from training.search import Trial

BLUE, AMBER, GREEN, GREY = "#3b82f6", "#f59e0b", "#10b981", "#8b95a5"
_INK = "#010203"
"""Stands for the page's own text colour."""

_LOW_TO_HIGH = LinearSegmentedColormap.from_list("low to high", ["#38bdf8", "#818cf8", "#f43f5e"])
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "whisperer",
    "font.size": 10.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GREY,
    "grid.alpha": 0.22,
    "grid.linewidth": 0.7,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "text.color": _INK,
    "legend.frameon": False,
    "savefig.transparent": True,
}
_N_FEATURES = 14
_N_BINS = 10

Floats = NDArray[np.float64]


def calibration(scored: TestPredictions) -> str:
    """Draw reliability: among rows with like predictions, how many left; and how many rows had each prediction."""

    def draw(figure: Figure) -> None:
        top, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (4, 1)})
        said, happened, n = binned(scored.predicted, scored.label)
        half = 1.96 * np.sqrt(np.maximum(happened * (1 - happened), 1e-9) / n)
        top.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (4, 3)), label="as told")
        top.errorbar(said, happened, half, color=BLUE, marker="o", ms=5, lw=1.6, elinewidth=1, label="what happened")
        top.set(ylabel="share who left", xlim=(0, 1), ylim=(0, 1))
        top.legend(loc="upper left")
        below.hist(scored.predicted, bins=40, range=(0, 1), color=BLUE, alpha=0.65)
        below.set(xlabel="probability told", ylabel="rows")
        below.locator_params(axis="y", nbins=2)

    return _svg(draw, 5.2, 4.4)


def deciles(scored: TestPredictions) -> str:
    """Draw a number's predictions and outcomes, in tenths of the rows."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        said, happened, _ = binned(scored.predicted, scored.label)
        at = np.arange(1, len(said) + 1)
        axes.bar(at - 0.2, said, 0.38, color=GREY, alpha=0.7, label="told")
        axes.bar(at + 0.2, happened, 0.38, color=BLUE, label="what happened")
        axes.set(xlabel="tenth of the rows, by what was told", ylabel="mean value", xticks=at)
        axes.legend(loc="upper left")

    return _svg(draw, 5.2, 4.4)


def gains(scored: TestPredictions, of_all: str) -> str:
    """Draw cumulative gains: what share of the label lies in the rows with the highest predictions."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        found = np.concatenate([[0.0], np.cumsum(scored.label[np.argsort(-scored.predicted, kind="stable")])])
        best = np.concatenate([[0.0], np.cumsum(np.sort(scored.label)[::-1])])
        share = np.linspace(0, 1, len(found))
        whole = scored.label.clip(0).sum() or 1.0  # before refunds: with them it may sum to anything, 0 included
        grid = np.linspace(0, 1, 201)
        axes.plot(grid, np.interp(grid, share, best / whole), color=GREY, lw=1, label="if all were known")
        axes.plot(grid, np.interp(grid, share, found / whole), color=BLUE, lw=2, label="this model")
        axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=(0, (4, 3)), label="by chance")
        axes.set(xlabel="share of users, highest first", ylabel=of_all, xlim=(0, 1), ylim=(0, 1.02))
        axes.legend(loc="lower right")

    return _svg(draw, 5.2, 4.4)


def qini(policy: Policy) -> str:
    """Draw the Qini curve: gain by share of users who get an arm, by promised effect and by chance."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(policy.share, policy.gained, color=GREEN, lw=2, label="by promised effect")
        axes.plot(policy.share, policy.at_random, color=GREY, lw=1, ls=(0, (4, 3)), label="by chance")
        axes.axhline(0, color=GREY, lw=0.8)
        axes.set(xlabel="share of users who get an arm", ylabel="gain over nobody, a decision", xlim=(0, 1))
        axes.legend(loc="lower right")

    return _svg(draw, 5.2, 4.4)


def arms(policy: Policy) -> str:
    """Draw the share of test rows that the new policy and the log give each arm."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        at = np.arange(len(policy.arms))
        sides = ((policy.chosen, -0.2, GREEN, "new policy"), (policy.logged, 0.2, GREY, "log"))
        for counts, shift, colour, name in sides:
            axes.barh(at + shift, np.array(counts) / max(1, sum(counts)), 0.38, color=colour, alpha=0.85, label=name)
        axes.set(xlabel="share of test rows", yticks=at, yticklabels=[_short(name) for name in policy.arms])
        axes.invert_yaxis()
        axes.legend(loc="lower right")

    return _svg(draw, 5.2, max(4.4, 1.0 + 0.42 * len(policy.arms)))


def confusion(found: Confusion) -> str:
    """Draw the four counts; the larger their share of the column, the stronger the colour."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        counts = np.array([[found.caught, found.alarmed], [found.missed, found.left_alone]])
        shares = counts / np.maximum(counts.sum(axis=0), 1)
        for row, column in np.ndindex(2, 2):
            right, colour = row == column, GREEN if row == column else AMBER
            box = Rectangle((column - 0.49, row - 0.49), 0.98, 0.98, color=colour, lw=0)
            box.set_alpha(0.10 + 0.45 * float(shares[row, column]))
            axes.add_patch(box)
            told = f"{counts[row, column]:,}", f"{shares[row, column]:.0%} of them {'rightly' if right else 'wrongly'}"
            axes.text(column, row - 0.06, told[0], ha="center", va="center", size=19)
            axes.text(column, row + 0.2, told[1], ha="center", va="center", size=9.5)
        axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5), xticks=[0, 1], yticks=[0, 1])
        axes.set_xticklabels(["left", "stayed"])
        axes.set_yticklabels(["called\nleaving", "called\nstaying"])
        axes.xaxis.tick_top()
        axes.grid(False)
        axes.spines[:].set_visible(False)

    return _svg(draw, 5.2, 4.4)


def values(policy: Policy) -> str:
    """Draw differences from the best single arm, with their intervals."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for row, one in enumerate(policy.valued):
            colour = GREEN if row == 0 else GREY
            axes.plot([one.low, one.high], [row, row], color=colour, lw=2.4, solid_capstyle="round")
            axes.plot(one.gain, row, marker="o", ms=8, color=colour)
        axes.axvline(0, color=GREY, lw=0.9)
        axes.set(xlabel="value over the best single arm, a decision", yticks=range(len(policy.valued)))
        axes.set_yticklabels([one.name for one in policy.valued])
        axes.locator_params(axis="x", nbins=5)
        axes.set_ylim(len(policy.valued) - 0.4, -0.6)

    return _svg(draw, 5.2, 4.4)


def learning(trials: Sequence[Trial], best: Trial, loss: str) -> str:
    """Draw every trial's held-out loss as it grew; for the best one also the loss on rows it learned from."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for one in trials:
            rounds, held = [s.rounds for s in one.steps], [s.held for s in one.steps]
            if one is not best and held:
                axes.plot(rounds, held, color=GREY, lw=1, alpha=0.55, marker="." if len(held) == 1 else "")
        rounds = [step.rounds for step in best.steps]
        axes.plot(rounds, [step.held for step in best.steps], color=BLUE, lw=2.2, label="best, held-out rows")
        seen = [step.seen for step in best.steps]
        if np.isfinite(seen).all():
            axes.plot(rounds, seen, color=AMBER, lw=1.4, ls=(0, (4, 2)), label="best, rows it learned from")
        axes.plot(best.best.rounds, best.best.held, marker="o", ms=7, color=BLUE)
        axes.plot([], [], color=GREY, lw=1, label="other trials; cut ones end early")
        axes.set(xlabel="rounds", ylabel=loss)
        axes.legend(loc="upper right")

    return _svg(draw, 5.2, 4.4)


def attribution(found: Attribution) -> str:
    """Draw a SHAP summary: a dot per row, to the right if the feature raised the prediction, red if it was high."""
    weight = np.abs(found.values).mean(axis=0)
    shown = np.argsort(-weight, kind="stable")[:_N_FEATURES]
    shown = shown[weight[shown] > 0][::-1]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        random = np.random.default_rng(0)
        for row, feature in enumerate(shown):
            values, x = found.values[:, feature], found.x[:, feature]
            known = np.isfinite(x)
            ranks = np.full(len(x), 0.5)
            ranks[known] = np.searchsorted(np.sort(x[known]), x[known], "right") / max(1, known.sum())
            colours = np.where(known[:, None], _LOW_TO_HIGH(ranks), matplotlib.colors.to_rgba(GREY))
            axes.scatter(
                values, row + _spread(values, random), c=colours, s=7, alpha=0.75, linewidths=0, rasterized=True
            )
        axes.axvline(0, color=GREY, lw=0.9)
        axes.set(xlabel=f"change of the {found.unit}", yticks=range(len(shown)))
        axes.set_yticklabels([_short(found.names[feature]) for feature in shown])
        axes.set_ylim(-0.7, len(shown) - 0.3)

    return _svg(draw, 8.6, max(2.2, 0.9 + 0.34 * len(shown)))


def binned(predicted: Floats, label: Floats) -> tuple[Floats, Floats, Floats]:
    """Return means of both, and counts, in tenths of the rows by prediction; equal predictions stay together."""
    order = np.argsort(predicted, kind="stable")
    edges = np.unique(predicted[order[np.linspace(0, len(order) - 1, _N_BINS + 1).astype(int)]])
    at = np.clip(np.searchsorted(edges, predicted, "right") - 1, 0, max(0, len(edges) - 2))
    n = np.bincount(at).astype(np.float64)
    kept = n > 0
    return (np.bincount(at, predicted)[kept] / n[kept], np.bincount(at, label)[kept] / n[kept], n[kept])


def _spread(values: Floats, random: np.random.Generator) -> Floats:
    """Return vertical offsets, wider where more dots lie close together."""
    low, high = values.min(), values.max()
    bins = np.minimum(((values - low) / max(high - low, 1e-12) * 60).astype(int), 59)
    width = np.bincount(bins, minlength=60)[bins]
    spread: Floats = (random.random(len(values)) - 0.5) * 0.75 * np.sqrt(width / width.max())
    return spread


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:26]}…"


def _svg(draw: Callable[[Figure], None], width: float, height: float) -> str:
    with matplotlib.rc_context(_SETTINGS):
        figure = Figure(figsize=(width, height), layout="constrained", dpi=110)
        draw(figure)
        for axes in figure.axes:
            _calm(axes)
        written = StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": None})
    text = written.getvalue()
    text = text[text.index("<svg") :].replace(_INK, "currentColor")
    text = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*pt"', r"\1", text)
    text = re.sub(r'(<svg[^>]*?) (?:width|height)="[^"]*pt"', r"\1", text)
    return re.sub(r"font: ([0-9.]+)px [^;\"]*", r"font-size: \1px; font-family: inherit", text)


def _calm(axes: Axes) -> None:
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
