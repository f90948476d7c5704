"""Show how a search progresses: one moving bar on a terminal, one line per trial anywhere else.

Keeps no state that a search needs: Tune stores it with the search, and gets a new one back.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from ray.tune import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar


def number_of(trial: Any) -> int:
    """Return a trial's number, from 1, in order of proposal; Tune's own list changes order once a trial has died."""
    return int(str(trial.experiment_tag).partition("_")[0])


class Progress(Callback):
    """Report trials on stderr, as a callback of Tune."""

    def __init__(self, n_trials: int, rounds: int) -> None:
        self.n_trials, self.rounds = n_trials, rounds
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._bar: Bar | None = None
        self._best: tuple[float, int] | None = None
        self._since = time.monotonic()

    def __reduce__(self) -> tuple[Any, ...]:
        return Progress, (self.n_trials, self.rounds)

    def setup(self, *_: Any, **__: Any) -> None:
        self._since = time.monotonic()
        if sys.stderr.isatty():
            columns = (TextColumn("trials"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Bar(*columns, TextColumn("{task.fields[told]}"), console=self._console)
            self._bar.add_task("trials", total=self.n_trials, told="")
            self._bar.start()

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **_: Any) -> None:
        number = number_of(trial)
        if self._best is None or result["held"] < self._best[0]:
            self._best = result["held"], number
        if self._bar is not None:
            running = [
                f"{number_of(one)}: {(one.last_result or {}).get('rounds', 0)}/{self.rounds}"
                for one in trials
                if one.status == "RUNNING"
            ]
            told = f"best {self._best[0]:.5f} (trial {self._best[1]}); running {', '.join(running)}"
            self._bar.update(self._bar.task_ids[0], told=told)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        done = sum(one.is_finished() or one is trial for one in trials)  # it is marked a moment later
        if self._bar is not None:
            self._bar.update(self._bar.task_ids[0], completed=done)
            return
        last = trial.last_result or {}
        best = "" if self._best is None else f"; best so far {self._best[0]:.5f} (trial {self._best[1]})"
        self._say(
            f"trial {number_of(trial)} of {self.n_trials}: {last.get('held', float('nan')):.5f} after"
            f" {last.get('rounds', 0)} rounds{best}; {done} done in {time.monotonic() - self._since:.0f} s"
        )

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._say(f"trial {number_of(trial)} died and goes on from its checkpoint")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **_: Any) -> None:
        self._say(f"trial {number_of(trial)} died too often and is given up")

    def on_experiment_end(self, trials: list[Any], **_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _say(self, words: str) -> None:
        self._console.print(words, markup=False)
