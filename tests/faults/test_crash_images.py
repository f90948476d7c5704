"""Every image that a power cut could leave of a journal; and the survey itself must see a recovery that is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from actors.journal import FileJournal, recovery
from tests.faults import crash_images


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with FileJournal.open(tmp_path / "j", segment_bytes=4_000) as journal:
        for n in range(40):
            journal.append([b"%d" % n * (n % 50), b"second"])
    return tmp_path / "j"


def test_a_journal_survives_every_cut_and_refuses_every_damage(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    found = crash_images.survey(folder)
    assert found.problems == []
    assert found.n_cut > 20
    assert found.n_flipped > 20
    assert found.n_damaged > 50
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_recovery_that_forgets_the_watermark_is_found_out(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_read_watermark", lambda _: None)
    assert any("before the watermark" in problem for problem in crash_images.survey(folder).problems)


def test_half_a_group_at_the_end_is_cut_and_nothing_else(folder: Path) -> None:
    whole = folder.with_name("whole")
    shutil.copytree(folder, whole)
    n_bytes = crash_images.tear(folder)
    with FileJournal.open(folder) as torn, FileJournal.open(whole) as sound:
        assert torn.n_bytes_cut == n_bytes
        assert list(torn.replay()) == list(sound.replay())
