"""What is kept is its owner's alone, whatever the umask is, and whoever made the folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from actors.files.blobs import BlobFolder
from actors.files.fsync import create_durably, make_folder_durably
from actors.journal import open_journal
from cluster.launch import private_places
from cluster.settings import load
from whisperer.models.store import ArtifactStore


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def open_to_others(folder: Path) -> list[str]:
    return [str(path) for path in [folder, *folder.rglob("*")] if path.stat().st_mode & 0o077]


def test_blobs_and_their_folders_are_private(tmp_path: Path) -> None:
    blobs = BlobFolder(tmp_path / "there" / "blobs")
    blobs.put("a/b", b"x")
    with blobs.writing("c/d") as writer:
        writer.write(b"x")
    begun = blobs.begin("e/f", tmp_path)
    create_durably(begun, b"x")
    blobs.adopt(begun, "e/f")
    make_folder_durably(tmp_path / "there" / "g")
    assert open_to_others(tmp_path / "there") == []
    assert blobs.names() == ["a/b", "c/d", "e/f"]


def test_journals_are_private(tmp_path: Path) -> None:
    journal = open_journal(f"file://{tmp_path}/journal", 0, segment_bytes=4096)
    for _ in range(9):
        journal.append([b"x" * 1_000] * 3)
    journal.close()
    assert len(list((tmp_path / "journal").rglob("*"))) > 4
    assert open_to_others(tmp_path / "journal") == []


def test_models_are_private(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "models", tmp_path / "cache")
    store._write(f"{store._root}/acme/files/0", b"x")
    assert [path for path in open_to_others(tmp_path) if path.endswith("/0")] == []


def test_what_lies_open_already_is_closed_wherever_it_lies(tmp_path: Path) -> None:
    elsewhere = tmp_path / "else where"
    names = {"journal": "url", "snapshots": "uri", "warehouse": "uri", "models": "uri"}
    settings = load(tmp_path / "var", environment={})
    for section, key in names.items():
        (elsewhere / section).mkdir(parents=True)
        place = msgspec.structs.replace(getattr(settings, section), **{key: (elsewhere / section).as_uri()})
        settings = msgspec.structs.replace(settings, **{section: place})
    database = elsewhere / "control.db"
    plane = msgspec.structs.replace(settings.control_plane, url=f"sqlite:///{database}")
    settings = msgspec.structs.replace(settings, control_plane=plane)
    (tmp_path / "var" / "logs").mkdir(parents=True)
    files = [database, elsewhere / "control.db-wal", tmp_path / "var" / "sink.db"]
    for file in files:
        file.touch(0o644)
    private_places.close(str(tmp_path / "var"), settings)
    private_places.close(str(tmp_path / "var"), settings)
    assert open_to_others(tmp_path / "var") == []
    assert [p for p in open_to_others(elsewhere) if p != str(elsewhere)] == []


def test_what_belongs_on_an_object_store_or_is_not_there_is_left_alone(tmp_path: Path) -> None:
    settings = load(tmp_path, environment={"WHISPERER_WAREHOUSE_URI": "s3://bucket/warehouse"})
    private_places.close(str(tmp_path), settings)
    assert not (tmp_path / "journal").exists()
