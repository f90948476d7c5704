"""Installations for the faults: one at a time, kept from fault to fault while the same one is asked for.

Starting one takes half a minute, so faults that need nothing special share it, each with a tenant of its own. An
installation that a fault left unready is not handed on: it is ended and another started.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from cluster.launch import readiness
from tests.support import faulty_receivers
from tests.support.stand import Stand

READY_WITHIN_S = 60.0
# The warehouse is part of every verdict, so it is brought up to date more often than an installation would.
SETTINGS = {"WAREHOUSE_FLUSH_INTERVAL_S": 2, "SNAPSHOTS_INTERVAL_S": 20, **faulty_receivers.OPEN}


class Stands:
    """Use as a context manager: what still runs is ended with it."""

    def __init__(self) -> None:
        self._stand: Stand | None = None
        self._wanted: tuple[int, dict[str, Any]] | None = None

    def __enter__(self) -> Stands:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def get(self, *, shards: int = 2, settings: dict[str, Any] | None = None) -> Stand:
        """A ready installation with these settings (``SECTION_KEY`` to value, over :data:`SETTINGS`)."""
        wanted = shards, {**SETTINGS, **(settings or {})}
        if self._stand is not None and (wanted != self._wanted or not _becomes_ready(self._stand)):
            self.end()
        if self._stand is None:
            print("starting an installation", file=sys.stderr, flush=True)
            self._stand = Stand(Path(tempfile.mkdtemp(prefix="faults-")), shards=shards, settings=wanted[1])
            self._wanted = wanted
            self._stand.up()
        return self._stand

    def end(self) -> None:
        if self._stand is None:
            return
        ended, self._stand = self._stand, None
        try:
            ended.down()
        finally:
            shutil.rmtree(ended.data_dir, ignore_errors=True)


def _becomes_ready(stand: Stand) -> bool:
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            if readiness.probe(stand.url)[0]:
                return True
        time.sleep(0.2)
    return False
