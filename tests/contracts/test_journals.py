"""Every journal backend against the battery."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from actors.journal import FileJournal, open_journal
from tests.contracts.journal_battery import JournalBattery
from whisperer.ports import Journal


@dataclass
class FolderHome:
    folder: Path
    segment_bytes: int
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def open(self) -> FileJournal:
        return FileJournal.open(self.folder, segment_bytes=self.segment_bytes)

    def close_segment(self, journal: Journal) -> None:
        assert isinstance(journal, FileJournal)
        journal.roll()

    def another(self) -> FolderHome:
        return FolderHome(self.folder.with_name(f"another-{next(self._numbers)}"), self.segment_bytes)


class TestFileJournal(JournalBattery):
    @pytest.fixture(params=[1, 500, 64 << 20], ids=["one-group-a-segment", "small-segments", "default-segments"])
    def home(self, tmp_path: Path, request: pytest.FixtureRequest) -> FolderHome:
        return FolderHome(tmp_path / "journal", request.param)


def test_a_url_chooses_the_backend_and_the_shard_its_folder(tmp_path: Path) -> None:
    url = (tmp_path / "with space").as_uri()
    with open_journal(url, 3) as journal:
        journal.append([b"x"])
        assert journal.folder == tmp_path / "with space" / "shard-0003"
    with open_journal(url, 4) as other:
        assert list(other.replay()) == []


@pytest.mark.parametrize("url", ["redis://127.0.0.1/0", "file://host/folder", "folder"])
def test_a_url_no_backend_serves_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="no journal backend"):
        open_journal(url, 0)
