"""What the directory began it finishes, whoever is full, away or wrong, and whether or not anybody orders it again."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import pytest

from actors.calls.map_holder import MapHolder
from actors.calls.shards import CallStatus
from actors.directory import actor as directory
from actors.directory.actor import Directory
from tests.unit.actors.applications import until
from whisperer.errors import OverloadError, UnavailableError


class OldHome:
    """Its answers to `hand_over`: what is in ``troubles`` first, then done."""

    def __init__(self, *troubles: Exception) -> None:
        self.troubles = deque(troubles)
        self.places = MapHolder()

    async def call(self, shard: int, method: str, *args: Any, timeout_s: float = 30.0) -> Any:
        assert method == "hand_over"
        if self.troubles:
            raise self.troubles.popleft()
        return CallStatus.OK, {"users": 3}


def made(folder: Path, old_home: OldHome, monkeypatch: pytest.MonkeyPatch) -> Directory:
    monkeypatch.setattr(directory, "AGAIN_S", 0.0)
    monkeypatch.setattr(directory, "RESUME_S", 0.0)
    found = Directory(str(folder / "directory"), 2)
    found._shards = old_home  # type: ignore[assignment]
    return found


async def test_a_shard_that_is_full_or_away_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    troubles = OverloadError("full", retry_after_s=1.0), UnavailableError("away")
    one = made(tmp_path, OldHome(*troubles), monkeypatch)
    source = (await one.partition_map()).shard_of("tn_test", 5)
    moved = await one.move("tn_test", 5, 1 - source)
    assert (moved["map_version"], moved["source"], moved["users"]) == (2, source, 3)
    assert (await one.partition_map()).shard_of("tn_test", 5) == 1 - source


async def test_a_move_that_failed_is_finished_though_nobody_orders_anything_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = made(tmp_path, OldHome(RuntimeError("a bug"), RuntimeError("again")), monkeypatch)
    source = (await one.partition_map()).shard_of("tn_test", 5)
    with pytest.raises(RuntimeError, match="a bug"):
        await one.move("tn_test", 5, 1 - source)
    assert await one.moving() is not None
    await until(lambda: one._state.moving is None)
    assert (await one.partition_map()).shard_of("tn_test", 5) == 1 - source
