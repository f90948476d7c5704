"""Shows the importer on the terminal: one live line while it runs, one paragraph when it ends."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from .checkpoint import Totals
from .report import ImportReport

_REDRAW_EVERY_S = 0.1


class ImportProgress:
    """A context manager around the import; draws nothing if ``enabled`` is false."""

    def __init__(self, console: Console, name: str, *, enabled: bool, rows_before: int) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[counts]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[trouble]}"),
            console=console,
            disable=not enabled,
            transient=True,
        )
        self._task = self._bar.add_task(name, total=1.0, counts="", trouble="")
        self._rows_before = rows_before
        self._started = time.monotonic()
        self._drawn = 0.0

    def __enter__(self) -> ImportProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, fraction: float, totals: Totals, trouble: str) -> None:
        """Update the line: fraction of the file read, sums, and why the import waits ("" while it runs)."""
        now = time.monotonic()
        if now - self._drawn < _REDRAW_EVERY_S:
            return
        self._drawn = now
        rows_per_s = (totals.rows - self._rows_before) / max(1e-9, now - self._started)
        counts = (
            f"{totals.rows:,} rows, {rows_per_s:,.0f}/s, {totals.n_skipped:,} skipped, {totals.n_rejected:,} rejected"
        )
        self._bar.update(self._task, completed=fraction, counts=counts, trouble=trouble)


def print_report(report: ImportReport, console: Console) -> None:
    """Print what happened, where to look and how to continue."""
    say = console.print
    if report.rows_this_run == 0 and report.finished and report.resumed_from:
        say(f"{report.file} was imported before; nothing was sent. Use --restart to send it again.")
    elif report.resumed_from:
        say(f"Went on after row {report.resumed_from:,}.")
    rate = report.rows_this_run / report.seconds if report.seconds > 0 else 0.0
    say(f"{report.rows:,} rows: {report.sent:,} sent ({rate:,.0f} rows/s in this run)", highlight=False)
    for reason, count in sorted(report.skipped.items()):
        say(f"  {count:,} skipped: {reason}", highlight=False, markup=False)
    for code, count in sorted(report.rejected.items()):
        say(f"  {count:,} rejected: {code}", highlight=False, markup=False)
    if report.rejected:
        say(f"  Rejected rows, with the reason of each: {report.rejects_path}", highlight=False, markup=False)
    if not report.finished:
        say(f"Stopped after row {report.rows:,}. Run the same command to go on from there.", highlight=False)
