"""A crash at every half-step of every write: readers see the state before or after, and trying again ends exactly."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from actors.files.blobs import BlobFolder
from actors.warehouse import Warehouse
from tests.unit.actors.warehouse.conftest import (
    DAY_MS,
    NEW_YEAR_2026,
    Crash,
    CrashingBlobs,
    Event,
    decision,
    erased,
    logged,
    outcome,
    record,
)
from tests.unit.actors.warehouse.test_export import rows

RECORDS = {
    n: [
        record(n * 10, "acme", Event("u:1", f"e{n}"), Event("u:2", f"e{n}"), Event("u:1", "again", counted=False)),
        logged(n * 10, decision("u:1", f"dec_1{n}"), decision("u:2", f"dec_2{n}")),
        record(n * 10 + 3, "umbrella", Event("u:1")),
        logged(n * 10 + 5, outcome("u:2", f"dec_2{n}")),
        record(n * 10 + 7, "acme", Event("u:1", f"next{n}", NEW_YEAR_2026 + DAY_MS)),
    ]
    for n in range(4)
}

Step = Callable[[Warehouse], object]


def opened(place: Path | BlobFolder) -> Warehouse:
    return Warehouse(place, pseudonym_key=b"secret")


def log_rows(warehouse: Warehouse) -> list[tuple[object, ...]]:
    """(dataset, user, decision, features known, shard, lsn, index)"""
    found: list[tuple[object, ...]] = []
    for dataset, known in (("decisions", "features IS NOT NULL"), ("outcomes", "true")):
        columns = f"'{dataset}', user_key, decision_id, {known}, shard, lsn, index"
        found += warehouse.duckdb_relation("acme", dataset).project(columns).fetchall()
    return sorted(found)


def export(n: int) -> Step:
    return lambda warehouse: warehouse.export(0, n * 10, n * 10 + 10, RECORDS[n])


STORY: dict[str, Step] = {
    "export 0": export(0),
    "export 1": export(1),
    "compact": lambda warehouse: warehouse.compact("acme", "2026-01-01"),
    "export 2": export(2),
    "vacuum": lambda warehouse: warehouse.vacuum(),
    "erase": lambda warehouse: warehouse.erase("acme", erased("u:2")),
    "compact again": lambda warehouse: warehouse.compact("acme", "2026-01-01"),
    "export 3": export(3),
    "vacuum again": lambda warehouse: warehouse.vacuum(),
}


def view(folder: Path) -> tuple[object, ...]:
    """What a process that starts now sees."""
    warehouse = opened(folder)
    return rows(warehouse, "acme"), rows(warehouse, "umbrella"), log_rows(warehouse), warehouse.exported(0)


def told(folder: Path, until: str) -> Path:
    """The folder after every part of the story before ``until``."""
    folder.mkdir()
    for name, step in STORY.items():
        if name == until:
            break
        step(opened(folder))
    return folder


@pytest.mark.parametrize("crashing", STORY)
def test_a_crash_at_any_half_step_shows_before_or_after_and_the_retry_ends_exactly(
    tmp_path: Path, crashing: str
) -> None:
    start, step = told(tmp_path / "before", crashing), STORY[crashing]
    before = view(start)
    uninterrupted = CrashingBlobs(shutil.copytree(start, tmp_path / "after"))
    step(opened(uninterrupted))
    after = view(tmp_path / "after")
    assert uninterrupted.n_halves >= 4
    seen = set()
    for crash_at in range(uninterrupted.n_halves):
        folder = shutil.copytree(start, tmp_path / str(crash_at))
        blobs = CrashingBlobs(folder)
        blobs.crash_at = crash_at
        with pytest.raises(Crash):
            step(opened(blobs))
        seen_now = view(folder)
        assert seen_now in (before, after)
        seen.add(seen_now == after)
        step(opened(folder))
        assert view(folder) == after
        Warehouse(folder).vacuum()
        assert view(folder) == after
        on_disk = {path.relative_to(folder).as_posix() for path in folder.glob("tenant=*/**/*") if path.is_file()}
        assert on_disk == {file.path for file in Warehouse(folder).files()}, "a vacuum leaves no orphan"
    assert before == after or seen == {False, True}


def test_the_whole_story_ends_with_every_counted_event_once(tmp_path: Path) -> None:
    counted = [
        (event.key, event.name, event.timestamp, 0, 0, n * 10 + offset, index)
        for n in RECORDS
        for offset, index, event in (
            (0, 0, Event("u:1", f"e{n}")),
            (0, 1, Event("u:2", f"e{n}")),
            (7, 0, Event("u:1", f"next{n}", NEW_YEAR_2026 + DAY_MS)),
        )
        if event.key != "u:2" or n == 3  # exported after the erasure
    ]
    umbrella = [("u:1", "clicked", NEW_YEAR_2026, 0, 0, n * 10 + 3, 0) for n in RECORDS]
    pseudonym = opened(tmp_path / "any")._pseudonyms.of("acme", "u:2")
    gone = {f"dec_2{n}" for n in range(3)}  # the last was exported after the erasure
    stored = [
        (dataset, pseudonym if id_ in gone else user, id_, dataset != "decisions" or id_ not in gone, 0, lsn, index)
        for n in RECORDS
        for dataset, user, id_, lsn, index in (
            ("decisions", "u:1", f"dec_1{n}", n * 10, 0),
            ("decisions", "u:2", f"dec_2{n}", n * 10, 1),
            ("outcomes", "u:2", f"dec_2{n}", n * 10 + 5, 0),
        )
    ]
    assert view(told(tmp_path / "all", "")) == (sorted(counted), umbrella, sorted(stored), 40)


def test_after_a_crashed_and_repeated_erasure_the_user_is_in_no_file(tmp_path: Path) -> None:
    start = told(tmp_path / "before", "erase")
    for crash_at in range(1000):
        folder = shutil.copytree(start, tmp_path / str(crash_at))
        blobs = CrashingBlobs(folder)
        blobs.crash_at = crash_at
        try:
            STORY["erase"](opened(blobs))
        except Crash:
            STORY["erase"](opened(folder))
        else:
            break
        paths = list(folder.glob("tenant=acme/**/*.parquet*"))
        assert {path.parts[-3] for path in paths if "dataset=" in str(path)} == {
            "dataset=decisions",
            "dataset=outcomes",
        }
        for path in paths:
            assert "u:2" not in pq.read_table(path, columns=["user_key"], partitioning=None)["user_key"].to_pylist()
    assert crash_at >= 4
