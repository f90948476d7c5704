"""The chores of a soak: what happens to an installation all day, each with an account of its own.

A chore is a file here: it does one thing every so many seconds in a thread, and says at the end what did not add up.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections import Counter
from typing import Any

import httpx

RETRY_S = 0.5


class Chore:
    """Runs :meth:`once` every ``every_s`` inside its block. Subclass, name it, and count in ``self.n``.

    A call that an injected fault cut off is made again at the next turn and counted as ``cut_off``; anything else that
    fails is a problem.
    """

    name = "chore"
    every_s = 10.0

    def __init__(self) -> None:
        self.n: Counter[str] = Counter()
        self.problems: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"soak-{self.name}", daemon=True)

    def once(self) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        """What the chore looks at when all traffic has ended; adds to ``problems``."""

    def __enter__(self) -> Chore:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=300)
        if self._thread.is_alive():
            self.problems.append("did not end within 300 s")

    def wrong(self, problem: str) -> None:
        if len(self.problems) < 20:
            self.problems.append(problem)
        self.n["problems"] += 1

    def figures(self) -> dict[str, Any]:
        return {**self.n, "what_is_wrong": self.problems}

    def _run(self) -> None:
        due = time.monotonic() + self.every_s
        while not self._stop.wait(max(0.0, due - time.monotonic())):
            due = max(due + self.every_s, time.monotonic())
            try:
                self.once()
                self.n["times"] += 1
            except httpx.TransportError:
                self.n["cut_off"] += 1
            except Exception as error:
                traceback.print_exc()
                self.wrong(f"{type(error).__name__}: {error}"[:300])


def insisted(call: Any, *, timeout_s: float = 120.0) -> httpx.Response:
    """The answer of ``call()``, asked again while the installation is away or refuses for a while."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            answer: httpx.Response = call()
            if answer.status_code not in (429, 500, 502, 503, 504) or time.monotonic() > deadline:
                return answer
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
        time.sleep(RETRY_S)
