"""The newest events out of the journal's files: each in exactly one place, whatever is exported in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.calls.shard_tail import ShardTail
from actors.shard.newest import MOST_MASKS, Newest
from actors.warehouse.analysis import _connected, analysed
from actors.warehouse.tail import rows_after
from tests.unit.actors.warehouse.conftest import NEW_YEAR_2026, Event, block_of
from tests.unit.actors.warehouse.test_exporter import Scene
from whisperer.analytics.questions import Trends
from whisperer.errors import JournalDamagedError
from whisperer.events.block import encode_block
from whisperer.shard.records import Erase, Events, Tick

QUESTION = msgspec.convert({"series": [{"measure": "count"}], "since": "2026-01-01"}, Trends)


def newest_of(scene: Scene, flushed: list[str] | None = None) -> Newest:
    async def flush() -> None:
        scene.journal.roll()
        scene.exporter.export()
        if flushed is not None:
            flushed.append("flushed")

    applied = SimpleNamespace(applied_end=scene.journal.end)
    return Newest(scene.shard, scene.journal, applied, flush, lambda: None)  # type: ignore[arg-type]


def asked(scene: Scene, can_read: bool = True, flushed: list[str] | None = None) -> ShardTail:
    return asyncio.run(newest_of(scene, flushed).of("acme", can_read))


def send(scene: Scene, *users: str, number: int, tenant: str = "acme") -> int:
    """Journal and apply a block; one of the same number is a repeat of its events."""
    block = block_of(tenant, [Event(f"u:{user}", "A") for user in users], number)
    return scene.apply(Events(encode_block(block)))


def total(scene: Scene, tails: list[ShardTail]) -> Any:
    found: Any = analysed(scene.warehouse, "acme", QUESTION, NEW_YEAR_2026 + 1_000, tails)
    return found.series[0].lines[0].total


steps = st.lists(
    st.one_of(
        st.tuples(st.just("send"), st.integers(0, 3), st.sampled_from(["acme", "acme", "other"])),
        st.sampled_from([("roll",), ("export",), ("trim",), ("tick",)]),
    ),
    max_size=10,
)


@settings(max_examples=60, deadline=None)
@given(steps, steps)
def test_each_event_is_in_exactly_one_place_whatever_happens_meanwhile(
    tmp_path_factory: Any, before: list[Any], after: list[Any]
) -> None:
    scene = Scene(tmp_path_factory.mktemp("scene"))
    counted: dict[int, int] = {}
    seen: set[tuple[str, int]] = set()

    def do(step: Any) -> None:
        match step:
            case ("send", number, tenant):
                position = send(scene, "ann", "bob", number=number, tenant=tenant)
                if (tenant, number) not in seen and tenant == "acme":
                    counted[position] = 2
                seen.add((tenant, number))
            case ("roll",):
                scene.journal.roll()
            case ("export",):
                scene.shard.forget_exported(scene.exporter.export())
            case ("trim",):
                scene.journal.trim(scene.exporter.exported())
            case ("tick",):
                scene.apply(Tick())

    try:
        for step in before:
            do(step)
        tail = asked(scene)
        for step in after:
            do(step)
        reached = max(tail.end, scene.exporter.exported())
        assert total(scene, [tail]) == sum(n for position, n in counted.items() if position < reached)
    finally:
        scene.journal.close()


@pytest.fixture
def scene(tmp_path: Path) -> Any:
    scene = Scene(tmp_path)
    yield scene
    scene.journal.close()


def test_a_user_who_is_being_erased_is_left_out_of_both(scene: Scene) -> None:
    send(scene, "ann", "bob", number=1)
    scene.journal.roll()
    scene.exporter.export()
    send(scene, "ann", number=2)
    assert total(scene, [asked(scene)]) == 3
    scene.apply(Erase("acme", "u:ann"), now=NEW_YEAR_2026 + 100)
    tail = asked(scene)
    assert list(tail.erasing) == ["u:ann"]
    assert total(scene, [tail]) == 1
    assert tail.version == (3, 1, 1)


def test_what_cannot_be_read_is_exported_first(scene: Scene) -> None:
    send(scene, "ann", number=1)
    flushed: list[str] = []
    tail = asked(scene, False, flushed)
    assert (tail.folder, flushed) == ("", ["flushed"])
    assert total(scene, [tail]) == 1
    asked(scene, True, flushed)
    assert flushed == ["flushed"]
    scene.shard.repeats = {position: np.zeros(1, np.bool_) for position in range(MOST_MASKS + 1)}
    asked(scene, True, flushed)
    assert flushed == ["flushed", "flushed"]


def test_a_journal_that_was_trimmed_without_being_exported_is_not_passed_over(scene: Scene) -> None:
    send(scene, "ann", number=1)
    tail = asked(scene)
    for path in scene.journal.folder.glob("*.journal"):
        path.unlink()
    with pytest.raises(JournalDamagedError):
        rows_after([tail], {0: 0}, "acme")


def test_a_query_opens_no_other_file(scene: Scene, tmp_path: Path) -> None:
    send(scene, "ann", number=1)
    scene.journal.roll()
    scene.exporter.export()
    (tmp_path / "secret.csv").write_text("a\n1\n")
    with _connected(scene.warehouse.seen("acme"), tmp_path / "spill") as connection:
        scene.warehouse.seen("acme").events(connection).fetchall()
        others = [str(tmp_path / "secret.csv"), "/etc/passwd", "https://example.com/a.csv"]
        for path in others:
            with pytest.raises(duckdb.Error):
                connection.sql(f"SELECT * FROM read_csv('{path}')").fetchall()
        for text in (
            "SET enable_external_access = true",
            "SET memory_limit = '100GB'",
            "INSTALL httpfs",
            f"COPY (SELECT 1) TO '{tmp_path / 'out.csv'}'",
            f"ATTACH '{tmp_path / 'x.db'}'",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(text)
