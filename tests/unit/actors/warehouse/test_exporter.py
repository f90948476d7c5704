"""From the shard's log into the warehouse: the exporter over a real journal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.journal import FileJournal
from actors.warehouse import Warehouse
from actors.warehouse.export import Exporter
from actors.warehouse.pseudonyms import PSEUDONYM_PREFIX
from tests.unit.actors.warehouse.conftest import NEW_YEAR_2026, Event, block_of, decision, outcome
from whisperer.events.block import encode_block
from whisperer.shard.machine import Shard
from whisperer.shard.records import RECORD_VERSION, Erase, Events, Record, RecordBody, Tick, encode_record
from whisperer.shard.state.log import Log, decode_log, encode_log, forget


class Scene:
    """A shard, its journal and warehouse; :meth:`apply` journals and applies, and logs rows at the record's position."""

    def __init__(self, folder: Path) -> None:
        self.journal = FileJournal.open(folder / "journal")
        self.shard = Shard(0)
        self.shard.log = {}
        self.warehouse = Warehouse(folder / "warehouse", pseudonym_key=b"secret")
        self.exporter = Exporter(self.shard, self.journal, self.warehouse)

    def apply(self, body: RecordBody, *rows: object, now: int = NEW_YEAR_2026) -> int:
        record = Record(RECORD_VERSION, self.journal.epoch, now, body)
        position = self.journal.end
        self.journal.append([encode_record(record)])
        self.shard.apply([(position, record)])
        if rows:
            self.shard.log[position] = list(rows)
        return position

    def users(self, dataset: str = "decisions") -> list[tuple[str, str]]:
        return sorted(self.warehouse.duckdb_relation("acme", dataset).project("decision_id, user_key").fetchall())


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    yield scene
    scene.journal.close()


def test_rows_of_any_kind_of_record_are_exported_with_their_position(scene: Scene) -> None:
    first = scene.apply(Events(encode_block(block_of("acme", [Event("u:1")]))), decision("u:1", "dec_1"))
    second = scene.apply(Tick(), decision("u:2", "dec_2"), outcome("u:1", "dec_1"))
    scene.journal.roll()
    reached = scene.exporter.export()
    columns = "decision_id, lsn, index"
    decisions = scene.warehouse.duckdb_relation("acme", "decisions").project(columns).fetchall()
    assert sorted(decisions) == [("dec_1", first, 0), ("dec_2", second, 0)]
    assert scene.warehouse.duckdb_relation("acme", "outcomes").project(columns).fetchall() == [("dec_1", second, 1)]
    assert len(scene.warehouse.read_events("acme", ["u:1"])) == 1
    assert scene.exporter.n_rows == 1
    forget(scene.shard.log, reached)
    assert scene.shard.log == {}


def test_a_log_that_went_through_a_snapshot_before_the_export_exports_the_same(scene: Scene) -> None:
    scene.apply(Tick(), decision("u:1", "dec_1"))
    scene.journal.roll()
    scene.apply(Tick(), decision("u:2", "dec_2"))
    log: Log = scene.shard.log
    scene.shard.log = decode_log(encode_log(log))
    reached = scene.exporter.export()
    assert scene.users() == [("dec_1", "u:1")], "the open segment waits"
    forget(scene.shard.log, reached)
    scene.journal.roll()
    scene.exporter.export()
    assert scene.users() == [("dec_1", "u:1"), ("dec_2", "u:2")]


def test_a_user_erased_between_applying_and_exporting_arrives_under_a_pseudonym(scene: Scene) -> None:
    scene.apply(Events(encode_block(block_of("acme", [Event("u:gone")]))))
    scene.apply(Tick(), decision("u:gone", "dec_1"), decision("u:stays", "dec_2"))
    scene.apply(Erase("acme", "u:gone"), now=NEW_YEAR_2026 + 1)
    scene.apply(Tick(), decision("u:gone", "dec_3", at=NEW_YEAR_2026 + 2), now=NEW_YEAR_2026 + 2)
    scene.journal.roll()
    scene.exporter.export()
    before, stays, returned = scene.users()
    assert before[1].startswith(PSEUDONYM_PREFIX)
    assert (stays, returned) == (("dec_2", "u:stays"), ("dec_3", "u:gone"))
    assert scene.warehouse.read_events("acme", ["u:gone"]) == []
