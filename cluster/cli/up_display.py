"""Shows what the launcher is doing: one changing line on a terminal, one line per step elsewhere."""

from __future__ import annotations

import time

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from cluster.launch.progress import Progress


class UpDisplay:
    """Shows a launcher's progress on stderr, as a context manager."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._status: Status | None = None
        self._step = ""
        self._began = time.monotonic()
        self.progress = Progress(step=self._on_step, waiting_for=self._on_detail)

    def __enter__(self) -> UpDisplay:
        if self._console.is_terminal:
            self._status = self._console.status("").__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        if self._status is not None:
            self._status.stop()

    def _on_step(self, step: str) -> None:
        self._step = step
        if self._status is None:
            self._console.print(f"[{time.monotonic() - self._began:5.1f} s] {step}", markup=False, highlight=False)
        else:
            self._status.update(step)

    def _on_detail(self, detail: str) -> None:
        if self._status is not None:
            self._status.update(f"{self._step} [dim]{_escaped(detail)}[/dim]")


def _escaped(text: str) -> str:
    return escape(text.splitlines()[0][:160]) if text else ""
