"""A shard that cannot recover yet: it waits for its place to be mended, and only then for nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.installation import load
from actors.shard import recovery
from actors.snapshots.store import SnapshotStore
from tests.support.local_shards import write_installation
from whisperer.errors import FencedError, JournalDamagedError, JournalError, UnavailableError, WhispererError


class Place:
    """Recovery that fails with these errors in turn, then succeeds; and the pauses made meanwhile."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.slept_s: list[float] = []

    def recover(self, *_: Any) -> str:
        if self._errors:
            raise self._errors.pop(0)
        return "recovered"


def recovered(monkeypatch: pytest.MonkeyPatch, place: Place) -> Any:
    monkeypatch.setattr(recovery, "recover", place.recover)
    return recovery.recover_when_possible(0, None, None, place.slept_s.append)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "error",
    [
        JournalError("a new segment was not created: no space left on device"),
        FencedError("held by a process that does not end"),
        UnavailableError("redis does not answer"),
        OSError("the snapshots' bucket does not answer"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_may_be_mended_is_waited_for(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    place = Place(error, error, error)
    assert recovered(monkeypatch, place) == "recovered"
    assert place.slept_s == [recovery.AGAIN_AFTER_S] * 3


@pytest.mark.parametrize(
    "error",
    [JournalDamagedError("no valid record at file offset 4711"), JournalError("version 9", code="journal_format")],
    ids=lambda error: error.code,
)
def test_what_no_waiting_mends_is_told_at_once(monkeypatch: pytest.MonkeyPatch, error: WhispererError) -> None:
    place = Place(error)
    with pytest.raises(type(error), match=error.message):
        recovered(monkeypatch, place)
    assert place.slept_s == []


def test_an_attempt_that_fails_after_it_took_the_fence_lets_it_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = load(write_installation(tmp_path)).settings
    store = SnapshotStore(settings.snapshots.uri, "shard-0000")
    place = Place(OSError("the snapshots' bucket does not answer"))
    monkeypatch.setattr(recovery, "prepare", lambda *_: place.recover() and None)
    recovered = recovery.recover_when_possible(0, settings, store, place.slept_s.append)
    assert recovered.journal.epoch == 2
    assert place.slept_s == [recovery.AGAIN_AFTER_S]
    recovered.journal.close()
