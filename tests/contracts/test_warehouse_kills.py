"""kill -9 of the process that exports, compacts or vacuums, at every half-step: every row is there once, whatever died.

The work runs as in production: in a forked child, over a real journal; the child kills itself at the n-th half-step.
"""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.files.blobs import BlobFolder
from actors.journal import FileJournal
from actors.processes.forked import Forked, ForkError
from actors.warehouse import Warehouse, datasets
from actors.warehouse.export import Exporter
from tests.unit.actors.warehouse.conftest import DAY_MS, NEW_YEAR_2026, CrashingBlobs, Event, block_of
from whisperer.events.block import encode_block
from whisperer.shard.machine import Shard
from whisperer.shard.records import RECORD_VERSION, Events, Record, encode_record

TIMEOUT_S = 120.0
N_SEGMENTS, N_EVENTS = 5, 12

Step = Callable[[Exporter, Warehouse], object]

STEPS: dict[str, Step] = {
    "export": lambda exporter, _: exporter.export(),
    "compact": lambda _, warehouse: warehouse.compact("acme", "2026-01-01"),
    "vacuum": lambda _, warehouse: warehouse.vacuum(),
    "export the rest": lambda exporter, _: exporter.export(),
    "compact again": lambda _, warehouse: warehouse.compact("acme", "2026-01-01"),
}


class KilledBlobs(CrashingBlobs):
    def _half(self) -> None:
        if self.n_halves == self.crash_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.n_halves += 1


class Scene:
    """A shard with a journal of closed segments, and a warehouse in a folder that can be put back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.shard = Shard(0)
        self.journal = FileJournal.open(folder / "journal")
        self.sent: set[str] = set()

    def send(self) -> None:
        for _ in range(N_SEGMENTS):
            position = self.journal.end
            events = [Event(f"u:{n % 5}", timestamp=NEW_YEAR_2026 + n * DAY_MS // 8) for n in range(N_EVENTS)]
            block = block_of("acme", events, position)
            record = Record(RECORD_VERSION, self.journal.epoch, NEW_YEAR_2026, Events(encode_block(block)))
            self.journal.append([encode_record(record)])
            self.shard.apply([(position, record)])
            self.sent |= {f"m-{position}-{n}" for n in range(N_EVENTS)}
            self.journal.roll()

    def work(self, step: Step, blobs: BlobFolder) -> bytes:
        warehouse = Warehouse(blobs)
        step(Exporter(self.shard, self.journal, warehouse), warehouse)
        return b""

    def stored(self, place: Path) -> list[str]:
        rows = Warehouse(place).duckdb_relation("acme").project("message_id").fetchall()
        return sorted(message_id for (message_id,) in rows)


@pytest.mark.parametrize("piece_bytes", [1, 1 << 30], ids=["many files a range", "one file a range"])
async def test_every_acknowledged_event_is_stored_once_wherever_the_child_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece_bytes: int
) -> None:
    monkeypatch.setattr(datasets, "PIECE_BYTES", piece_bytes)
    scene = Scene(tmp_path)
    scene.send()
    place = tmp_path / "warehouse"
    place.mkdir()
    n_killed = 0
    for name, step in STEPS.items():
        if name == "export the rest":
            scene.send()
        counted = CrashingBlobs(shutil.copytree(place, tmp_path / "counted"))
        scene.work(step, counted)
        after = scene.stored(tmp_path / "counted")
        shutil.rmtree(tmp_path / "counted")
        for crash_at in range(0, counted.n_halves, 1 + counted.n_halves // 12):
            again = shutil.copytree(place, tmp_path / "again")
            blobs = KilledBlobs(again)
            blobs.crash_at = crash_at
            with pytest.raises(ForkError, match="ended with -9"):
                await Forked.start(lambda step=step, blobs=blobs: scene.work(step, blobs)).wait(TIMEOUT_S)  # type: ignore[misc]
            n_killed += 1
            found = scene.stored(again)
            assert len(set(found)) == len(found)
            await Forked.start(lambda step=step, again=again: scene.work(step, BlobFolder(again))).wait(TIMEOUT_S)  # type: ignore[misc]
            assert scene.stored(again) == after
            shutil.rmtree(again)
        await Forked.start(lambda step=step: scene.work(step, BlobFolder(place))).wait(TIMEOUT_S)  # type: ignore[misc]
    assert scene.stored(place) == sorted(scene.sent)
    assert n_killed > 20
    scene.journal.close()


def test_a_date_that_has_many_small_files_is_found_and_then_has_few(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for _ in range(3):
        scene.send()
    warehouse = Warehouse(tmp_path / "warehouse")
    Exporter(scene.shard, scene.journal, warehouse).export()
    assert warehouse.scattered(at_least=3 * N_SEGMENTS + 1) == []
    found = warehouse.scattered(at_least=3 * N_SEGMENTS)
    assert found == [("acme", "2026-01-01"), ("acme", "2026-01-02")]
    assert warehouse.compact(*found[0], at_least=3 * N_SEGMENTS) == 3 * N_SEGMENTS
    assert warehouse.compact(*found[0]) == 0
    assert warehouse.scattered(at_least=2) == [("acme", "2026-01-02")]
    assert warehouse.n_commits() == 3 * N_SEGMENTS + 1
    warehouse.vacuum()
    assert warehouse.n_commits() == 0
    assert scene.stored(tmp_path / "warehouse") == sorted(scene.sent)
    scene.journal.close()
