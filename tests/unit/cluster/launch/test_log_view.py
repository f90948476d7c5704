"""What `up --foreground` shows of the logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cluster.launch.log_view import MAX_BYTES_AT_ONCE, LogView


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "shard-0.log"
    path.write_text(line("ERROR", "of an earlier run"))
    return path


def line(level: str, message: str, **more: Any) -> str:
    head = {"time": "2026-11-24T09:20:46.404Z", "level": level, "logger": "l", "message": message, "process": "shard-0"}
    return json.dumps({**head, "pid": 1, **more}) + "\n"


def add(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_only_what_is_new_and_worth_it_is_shown_and_once(log: Path) -> None:
    view = LogView(log.parent)
    assert view.new() == []
    add(log, line("INFO", "recovered") + line("WARNING", "a slow group", request_id="r1"))
    assert view.new() == ["09:20:46 WARNING shard-0: a slow group (request_id=r1)"]
    assert view.new() == []


def test_of_an_error_the_last_line_of_the_traceback_is_shown(log: Path) -> None:
    view = LogView(log.parent)
    add(log, line("ERROR", "it failed", exception="Traceback (most recent call last):\n  File x\nValueError: why"))
    assert view.new() == ["09:20:46 ERROR shard-0: it failed\n         ValueError: why"]


def test_a_line_half_written_is_shown_when_it_is_whole(log: Path) -> None:
    view = LogView(log.parent)
    text = line("ERROR", "in two parts")
    add(log, text[:20])
    assert view.new() == []
    add(log, text[20:])
    assert len(view.new()) == 1


def test_a_new_process_and_a_file_put_aside_are_followed(log: Path) -> None:
    view = LogView(log.parent)
    add(log.parent / "gateway.log", line("ERROR", "new"))
    log.replace(log.with_suffix(".log.1"))
    add(log, line("ERROR", "after"))
    assert [shown.rpartition(" ")[2] for shown in view.new()] == ["new", "after"]


def test_lines_for_people_and_odd_bytes_do_no_harm(log: Path) -> None:
    view = LogView(log.parent)
    with log.open("ab") as file:
        file.write(b"\xff\xfe\n[1, 2]\nnull\n2026 WARNING  shard-0 l: in words\n2026 INFO     shard-0 l: not this\n")
    assert view.new() == ["2026 WARNING  shard-0 l: in words"]


def test_a_flood_is_read_in_bounded_parts(log: Path) -> None:
    view = LogView(log.parent)
    add(log, "x" * (MAX_BYTES_AT_ONCE + 10) + "\n" + line("ERROR", "after the flood"))
    assert [shown for _ in range(3) for shown in view.new()] == ["09:20:46 ERROR shard-0: after the flood"]
