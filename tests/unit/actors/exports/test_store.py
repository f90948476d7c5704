"""Records and files of exports: nothing stays open for ever, nothing is kept for longer than it should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.exports.record import Record
from actors.exports.store import RECORDS_KEPT_MS, SILENT_S, ExportStore, place_of
from whisperer.errors import NotFoundError
from whisperer.ids import TenantId, new_id
from whisperer.vocabulary.exports import ExportFormat, ExportKind, ExportState

ACME, GLOBEX, T0 = TenantId("acme"), TenantId("globex"), 1_700_000_000_000
LATER = round(1000 * SILENT_S) + 1


def record(state: ExportState, tenant: TenantId = ACME, **more: Any) -> Record:
    return Record(
        id=new_id("exp"),
        tenant=tenant,
        of=ExportKind.EVENTS,
        format=ExportFormat.CSV,
        state=state,
        created_at=T0,
        updated_at=T0,
        **more,
    )


@pytest.fixture
def store(tmp_path: Path) -> ExportStore:
    return ExportStore(str(tmp_path / "w"))


def files(tmp_path: Path) -> set[str]:
    return {path.name.partition(".")[2] for path in (tmp_path / "w").rglob("*") if path.is_file()}


@pytest.mark.parametrize("state", [ExportState.QUEUED, ExportState.RUNNING])
def test_an_open_one_of_which_nothing_is_heard_has_failed(
    store: ExportStore, tmp_path: Path, state: ExportState
) -> None:
    one = record(state)
    store.put(one)
    store.folder.put(place_of(one), b"half")
    store.folder.put(place_of(one) + ".partial", b"half")
    store.tidy(T0 + LATER - 1)
    assert store.show(ACME, one.id, T0 + LATER - 1).state is state
    assert files(tmp_path) == {"json", "csv", "csv.partial"}
    shown = store.show(ACME, one.id, T0 + LATER)
    assert (shown.state, "begin it again" in shown.error) == (ExportState.FAILED, True)
    assert store.tidy(T0 + LATER) == 1
    assert files(tmp_path) == {"json"}
    assert store.show(ACME, one.id, T0).state is ExportState.FAILED


def test_one_that_is_to_end_is_cancelled_for_whoever_asks(store: ExportStore) -> None:
    one, done = record(ExportState.RUNNING), record(ExportState.DONE, expires_at=T0 + 1)
    for each in (one, done):
        store.put(each)
        store.ask_to_end(each)
    assert store.show(ACME, one.id, T0).state is ExportState.CANCELLED
    assert store.show(ACME, done.id, T0).state is ExportState.DONE


def test_a_file_is_deleted_when_it_expires_and_its_record_later(store: ExportStore, tmp_path: Path) -> None:
    one = record(ExportState.DONE, finished_at=T0, expires_at=T0 + 1_000)
    store.put(one)
    store.folder.put(place_of(one), b"whole")
    assert store.tidy(T0 + 999) == 0
    assert files(tmp_path) == {"json", "csv"}
    assert store.show(ACME, one.id, T0 + 1_000).state is ExportState.EXPIRED
    assert store.tidy(T0 + 1_000) == 1
    assert files(tmp_path) == {"json"}
    assert store.tidy(T0 + RECORDS_KEPT_MS) == 0
    assert store.tidy(T0 + RECORDS_KEPT_MS + 1) == 1
    assert files(tmp_path) == set()


def test_files_without_a_record_are_deleted(store: ExportStore, tmp_path: Path) -> None:
    one, kept = record(ExportState.DONE), record(ExportState.DONE, GLOBEX, expires_at=T0 + 9)
    store.folder.put(place_of(one), b"orphan")
    store.ask_to_end(one)
    store.put(kept)
    store.folder.put(place_of(kept), b"whole")
    assert store.tidy(T0) == 1
    assert files(tmp_path) == {"json", "csv"}
    assert [found.id for found in store.records(GLOBEX, T0)] == [kept.id]


def test_one_tenant_s_are_not_another_s_and_no_name_leads_elsewhere(store: ExportStore) -> None:
    one = record(ExportState.DONE, expires_at=T0 + 9)
    store.put(one)
    for tenant, id in ((GLOBEX, one.id), (ACME, f"../acme/{one.id}"), (ACME, "exp_x"), (TenantId("../acme"), one.id)):
        with pytest.raises(NotFoundError):
            store.show(tenant, id, T0)
    assert store.records(GLOBEX, T0) == []
    assert store.records(TenantId("globex/../acme"), T0) == []
