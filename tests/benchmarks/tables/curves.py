"""Learning curves of tables as one picture: ours beside baselines, by how much there was to learn from.

    python -m tests.benchmarks.tables.curves --svg FILE JSON [JSON ...]

The JSON files are what `whisperer bench decisions --table .. --json FILE` wrote for T1, T2a and T3; a table without a
curve adds no panel. The y axes do not begin at 0: differences are what is looked at.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks import pictures

ROOM = 0.1
"""Of a panel's height, below the lowest point."""


def panels(figures: Mapping[str, Mapping[str, Any]]) -> Iterator[pictures.Panel]:
    """One a curve, of tables by name (``T1``, ``T2a``, ``T3``)."""
    for name, part in figures.get("T1", {}).get("parts", {}).items():
        rungs = part.get("learning_curve", [])
        if rungs:
            shown = ("ours", "xgboost_100_bgnbd", "bgnbd")
            by_rows = [(rung["rows"], {model: rung[model]["log_loss"] for model in shown}) for rung in rungs]
            yield _panel(f"T1 {name}", "log-loss (lower is better)", by_rows)
    for table, unit in (("T2a", "Qini"), ("T3", "dollars, 30 % budget")):
        rungs = figures.get(table, {}).get("learning_curve", [])
        if rungs:
            by_rows = [(rung["decisions"], {k: v for k, v in rung.items() if k != "decisions"}) for rung in rungs]
            yield _panel(table, unit, by_rows)


def _panel(title: str, unit: str, by_rows: Sequence[tuple[int, Mapping[str, float]]]) -> pictures.Panel:
    lines = [pictures.Line(name, [(rows, values[name]) for rows, values in by_rows]) for name in by_rows[0][1]]
    ys = [y for line in lines for _, y in line.points]
    step = 10.0 ** math.floor(math.log10(max(max(ys) - min(ys), 1e-9)))
    bottom = math.floor((min(ys) - ROOM * (max(ys) - min(ys))) / step) * step
    return pictures.Panel(title, "rows to learn from", unit, lines, log_x=True, bottom=bottom)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("json", nargs="+", type=Path)
    parser.add_argument("--svg", type=Path, required=True)
    options = parser.parse_args()
    figures: dict[str, Any] = {}
    for path in options.json:
        figures |= json.loads(path.read_text("utf-8"))["figures"]
    pictures.write(options.svg, list(panels(figures)), "learning curves; every figure on rows not learned from")


if __name__ == "__main__":
    main()
