"""One line one object, with the requests it is about and without what no log may hold."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.telemetry import logs, tracing
from actors.telemetry.logs import HIDDEN, MAX_TEXT_CHARS, JsonLines, Seldom, TextLines, without_secrets

log = logging.getLogger("tests.logs")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, logs._Lines)]:
        root.removeHandler(handler)
    root.setLevel(logging.WARNING)
    logging.captureWarnings(False)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_names_time_level_logger_process_and_what_is_said_of_it(folder: Path) -> None:
    logs.configure("shard-3", folder=folder, shard=3)
    log.warning("partition %d is slow", 7, extra={"tenant": "acme"})
    [line] = lines(folder / "shard-3.log")
    assert line["time"].endswith("Z")
    assert line["pid"] > 0
    told = {key: line[key] for key in line if key not in ("time", "pid")}
    assert told == {
        "level": "WARNING",
        "logger": "tests.logs",
        "message": "partition 7 is slow",
        "process": "shard-3",
        "shard": 3,
        "tenant": "acme",
    }


def test_a_line_has_the_request_it_is_about(folder: Path) -> None:
    logs.configure("gateway", folder=folder)
    with tracing.within([tracing.Trace("r1", "t1")]):
        log.info("one")
    with tracing.within([tracing.Trace("r1", "t1"), tracing.Trace("r2", "t2")]):
        log.info("two")
    log.info("none")
    one, two, none = lines(folder / "gateway.log")
    assert (one["request_id"], one["trace_id"]) == ("r1", "t1")
    assert (two["request_ids"], two["trace_ids"]) == (["r1", "r2"], ["t1", "t2"])
    assert not {"request_id", "trace_id"} & set(none)


def test_an_error_is_one_line_with_its_traceback(folder: Path) -> None:
    logs.configure("gateway", folder=folder)
    try:
        raise ValueError("two\nlines")
    except ValueError:
        log.exception("it failed")
    [line] = lines(folder / "gateway.log")
    assert "ValueError: two\nlines" in line["exception"]
    assert "Traceback" in line["exception"]


SECRETS = [
    "wk_" + "Ab3-_" * 8 + "xyz",
    "sk_" + "q" * 43,
    "op_" + "z" * 43,
    "ann.lee+news@mail.example.com",
    "ann%40mail.example.com",
    "hunter2secret",
    "d2tfQWJjOg==",
]


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"key {SECRETS[0]} is unknown", SECRETS[0]),
        (f"key='{SECRETS[1]}'", SECRETS[1]),
        (f"Authorization: Bearer {SECRETS[2]}", SECRETS[2]),
        ("{'authorization': 'Bearer anything-else-123'}", "anything-else-123"),
        (f"authorization: Basic {SECRETS[6]}", SECRETS[6]),
        (f"550 no such user <{SECRETS[3]}>", SECRETS[3]),
        (f"GET /v1/users/{SECRETS[3]} failed", SECRETS[3]),
        (f"GET /v1/users/{SECRETS[4]} failed", SECRETS[4]),
        ("(email:ann@b.example)", "ann@b.example"),
        ("redis://whisperer:hunter2secret@10.0.0.7:6379/0 is away", "hunter2secret"),
        ("rediss://:hunter2secret@redis/0", "hunter2secret"),
        ("postgresql+psycopg://u:hunter2secret@db/x?password=hunter2secret", "hunter2secret"),
        ("https://hook.example/x?token=hunter2secret&a=1", "hunter2secret"),
        ("GET /m/u/eyJhbGciOiJub25lIn0.abcdefghijkl failed", "eyJhbGciOiJub25lIn0.abcdefghijkl"),
        ("POST /v1/callbacks/smtp/q1cJ9kFb0yT3vXo2abcd failed", "q1cJ9kFb0yT3vXo2abcd"),
    ],
)
def test_secrets_and_addresses_are_hidden_wherever_they_stand(folder: Path, text: str, secret: str) -> None:
    logs.configure("gateway", folder=folder)
    log.warning("said: %s", text)
    log.warning(text.replace("%", "%%"), extra={"detail": text, "thing": [text]})
    try:
        raise RuntimeError(text)
    except RuntimeError:
        log.exception("failed")
    written = (folder / "gateway.log").read_text()
    assert secret not in written
    assert written.count(HIDDEN) >= 5


@pytest.mark.parametrize(
    "text", ["shard-0: epoch 3, 12 records", "at 10:00 @ noon", "https://example.com/v1/batch", "user u1@x", "a sk_ip"]
)
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert without_secrets(text) == text


def test_a_line_is_bounded() -> None:
    assert len(without_secrets("x" * 10 * MAX_TEXT_CHARS)) < MAX_TEXT_CHARS + 100


def test_text_lines_are_for_people(folder: Path) -> None:
    logs.configure("gateway", folder=folder, as_json=False)
    with tracing.within([tracing.Trace("r1", "t1")]):
        log.error("no %s", "room", extra={"tenant": "acme"})
    [line] = (folder / "gateway.log").read_text().splitlines()
    assert line.endswith("ERROR    gateway tests.logs: no room (request_id=r1 trace_id=t1 tenant=acme)")


def test_the_file_is_put_aside_when_it_is_large(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "MAX_FILE_BYTES", 2_000)
    logs.configure("gateway", folder=folder)
    for n in range(100):
        log.info("line %d", n)
    sizes = [path.stat().st_size for path in (folder / "gateway.log", folder / "gateway.log.1")]
    assert all(size < 2_500 for size in sizes)
    assert lines(folder / "gateway.log")[-1]["message"] == "line 99"


def test_logging_goes_on_where_the_folder_is_gone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("gateway", folder=folder)
    folder.rmdir()
    log.warning("still said")
    assert json.loads(capsys.readouterr().err)["message"] == "still said"


def test_debug_lines_are_written_when_asked_for(folder: Path) -> None:
    logs.configure("gateway", folder=folder)
    log.debug("not this")
    logs.configure("gateway", folder=folder, debug=True)
    log.debug("but this")
    assert [line["message"] for line in lines(folder / "gateway.log")] == ["but this"]


def test_what_happens_often_is_told_seldom_with_its_number(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    seldom = Seldom(log, every_s=10.0, clock=lambda: now[0])
    for _ in range(1000):
        seldom.log(logging.WARNING, "full", "the queue is full")
    seldom.log(logging.WARNING, "other", "something else")
    now[0] = 10.0
    seldom.log(logging.WARNING, "full", "the queue is full")
    assert [r.message for r in caplog.records] == ["the queue is full", "something else", "the queue is full"]
    assert [getattr(r, "untold", None) for r in caplog.records] == [None, None, 999]


@pytest.mark.parametrize("formatter", [JsonLines("p"), TextLines("p")])
def test_odd_records_still_make_one_line(formatter: logging.Formatter) -> None:
    record = logging.makeLogRecord({"msg": "a\ud800b %s", "args": ("c",), "levelname": "INFO", "thing": object()})
    assert "\n" not in formatter.format(record)
