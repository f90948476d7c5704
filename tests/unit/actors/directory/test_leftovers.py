from __future__ import annotations

from pathlib import Path

from actors.directory import leftovers
from actors.installation import load
from tests.support.local_shards import write_installation


def test_of_a_removed_shard_nothing_stays_and_of_others_all(tmp_path: Path) -> None:
    installation = load(write_installation(tmp_path))
    files = [
        tmp_path / place / shard / "file"
        for place in ("journal", "snapshots", "spool")
        for shard in ("shard-0000", "shard-0001", "shard-0010")
    ]
    for file in files:
        file.parent.mkdir(parents=True)
        file.write_text("somebody")
    for _ in range(2):
        leftovers.delete(installation, 1)
    assert [file for file in files if file.exists()] == [f for f in files if f.parent.name != "shard-0001"]
    assert not list(tmp_path.rglob("shard-0001"))
