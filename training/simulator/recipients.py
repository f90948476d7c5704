"""Run the response side next to the sender: its files, its HTTP clients, and its thread.

``<state>/responses.db`` holds what is remembered, ``<state>/truth.json`` (or ``--truth``) the ground truth, rewritten
about every five seconds.
"""

from __future__ import annotations

import json
import threading
import time
import traceback
from pathlib import Path
from types import TracebackType

import httpx

from cluster.demo.campaign import GOAL_EVENT, NAME
from whisperer.vocabulary.units import DAY_MS

from .diary import Diary
from .effects import Effects
from .responder import Responder, ResponderCounts
from .stream import Life

DIARY_FILE, TRUTH_FILE = "responses.db", "truth.json"
_TRUTH_EVERY_S = 5.0
AGENT = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36"
)
"""People read on their phones: what says that it is a program is taken for one (docs/delivery.md)."""
_TIMEOUT_S = 15.0


class Recipients:
    """Use as a context manager; inside, ``responder.observe`` receives what the sender sent. ``anew`` discards what an
    earlier simulation left in the folder."""

    def __init__(
        self,
        url: str,
        write_key: str,
        secret_key: str,
        *,
        seed: int,
        state: Path | None,
        truth: Path | None,
        anew: bool,
    ) -> None:
        if state is not None:
            state.mkdir(parents=True, exist_ok=True)
            if anew:
                for file in state.glob(f"{DIARY_FILE}*"):
                    file.unlink()
        self._truth = truth or (state / TRUTH_FILE if state is not None else None)
        self._diary = Diary(state / DIARY_FILE if state is not None else None)
        self._clients = [
            httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret_key}"}, timeout=_TIMEOUT_S),
            httpx.Client(base_url=url, auth=(write_key, ""), timeout=_TIMEOUT_S),
            httpx.Client(base_url=url, headers={"User-Agent": AGENT}, timeout=_TIMEOUT_S),
        ]
        reader, writer, person = self._clients
        self.responder = Responder(
            Effects(seed),
            self._diary,
            reader=reader,
            writer=writer,
            person=person,
            campaign=NAME,
            goal=GOAL_EVENT,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recipients", daemon=True)

    @property
    def counts(self) -> ResponderCounts:
        """What was done since the start of this run."""
        return self.responder.counts

    def __enter__(self) -> Recipients:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(2 * _TIMEOUT_S)
        for client in self._clients:
            client.close()
        self._diary.close()

    def remember(self, life: Life, days: float) -> None:
        """Live the first ``days`` without sending anything, so that a listener from then on meets users with a past."""
        with self._diary.writing():
            first_ms: int | None = None
            for at_ms, event in life:
                first_ms = at_ms if first_ms is None else first_ms
                self.responder.remember(at_ms, event)
                if at_ms >= first_ms + days * DAY_MS:
                    break
            self._diary.place = life.place

    def _run(self) -> None:
        written = 0.0
        while not self._stop.is_set():
            try:
                pause_s = self.responder.cycle()
            except Exception:  # one odd answer must not silence everybody for good
                traceback.print_exc()
                self.counts.trouble, pause_s = "an error, see the log", 5.0
            if self._truth is not None and time.monotonic() >= written + _TRUTH_EVERY_S:
                self._write(self._truth)
                written = time.monotonic()
            self._stop.wait(pause_s)

    def _write(self, path: Path) -> None:
        beside = path.with_suffix(".new")
        beside.write_text(json.dumps(self.responder.truth(), indent=1) + "\n")
        beside.replace(path)
