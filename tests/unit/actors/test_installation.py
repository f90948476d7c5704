"""The record of an installation, as actors read it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from actors.installation import load
from whisperer.settings import ClusterSettings, DedupSettings, JournalSettings, LogSettings, ModelSettings, Settings

OLDEST: dict[str, Any] = {
    "data_dir": "/srv/whisperer",
    "ray_address": "127.0.0.1:10001",
    "settings": {
        "cluster": {"shards": 3, "cpu_shard": 0.5, "cpu_directory": 0.1, "cpu_learner": 0.1},
        "journal": {"url": "file:///srv/whisperer/journal", "segment_bytes": 1024},
        "snapshots": {"interval_s": 300, "uri": "file:///srv/whisperer/snapshots", "keep": 4},
        "warehouse": {"uri": "file:///srv/whisperer/warehouse", "flush_interval_s": 60},
        "dedup": {"max_ids": 1000, "window_h": 24},
    },
}
"""The first release's record: nothing that was added to it later."""


def written(folder: Path, record: dict[str, Any]) -> Path:
    path = folder / "installation.json"
    path.write_text(json.dumps(record))
    return path


def test_the_record_of_an_earlier_release_is_read_with_defaults_for_what_it_lacks(tmp_path: Path) -> None:
    found = load(written(tmp_path, OLDEST))
    settings = found.settings
    assert settings.cluster == ClusterSettings(shards=3, cpu_shard=0.5, cpu_directory=0.1, cpu_learner=0.1)
    assert settings.journal == JournalSettings(url="file:///srv/whisperer/journal", segment_bytes=1024)
    assert (settings.snapshots.keep, settings.snapshots.retention_days) == (4, 30.0)
    assert (settings.logs, settings.models) == (LogSettings(), ModelSettings())
    assert settings.programs.successor == "actors.shard.successor:ShardActor"
    assert (found.link_secret, found.temp_dir) == ("", "")


def test_what_a_later_release_records_in_addition_is_ignored(tmp_path: Path) -> None:
    record = OLDEST | {
        "settings": OLDEST["settings"]
        | {"journal": OLDEST["settings"]["journal"] | {"colour": "red"}, "weather": {"sunny": True}},
        "owner": "ada",
    }
    assert load(written(tmp_path, record)) == load(written(tmp_path, OLDEST))


def test_the_whole_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = {"data_dir": "/x", "ray_address": "", "settings": msgspec.to_builtins(Settings(dedup=DedupSettings(7)))}
    assert load(written(tmp_path, record)).settings == Settings(dedup=DedupSettings(7))
