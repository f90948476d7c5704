"""Whole imports against a real HTTP server."""

from __future__ import annotations

import gzip
import json
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cluster.importing import checkpoint
from cluster.importing.command import import_file
from cluster.importing.report import ImportReport
from tests.unit.cluster.importing.recording_gateway import RecordingGateway
from whisperer.errors import ConflictError, InvalidKeyError, RequestError, UnavailableError

MAP = {
    "user_id": "user",
    "event": {"constant": "Purchase"},
    "timestamp": {"column": "at"},
    "revenue": {"product": ["qty", "price"]},
    "properties": {"qty": {"column": "qty", "as": "integer"}},
    "skip_when": [{"reason": "no_user", "column": "user", "is": "null"}],
}
N_ROWS = 20_000
N_SKIPPED = N_ROWS // 100
Run = Callable[..., ImportReport]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """20,000 rows of 97 users; every hundredth row has no user."""
    path = tmp_path / "sales.csv"
    rows = (
        f"{'' if i % 100 == 0 else f'u{i % 97}'},2026-01-01T00:00:{i % 60:02},{i % 7 - 2},1.25"
        for i in range(1, N_ROWS + 1)
    )
    path.write_text("user,at,qty,price\n" + "\n".join(rows) + "\n")
    (tmp_path / "map.json").write_text(json.dumps(MAP))
    return path


@pytest.fixture
def run(table: Path, tmp_path: Path, gateway: RecordingGateway) -> Run:
    def call(**changes: Any) -> ImportReport:
        options: dict[str, Any] = {
            "url": gateway.url,
            "write_key": "wk_test",
            "tenant": "demo",
            "format": "csv",
            "map_path": tmp_path / "map.json",
            "data_dir": tmp_path / "data",
            "progress": False,
        }
        options.update(changes)
        return import_file(options.pop("file", table), **options)

    return call


def row_of(event: dict[str, Any]) -> int:
    return int(event["messageId"].rsplit("-", 1)[1])


def assert_complete_and_in_order(gateway: RecordingGateway, n_events: int) -> None:
    kept = gateway.unique()
    assert len(kept) == n_events
    last: dict[str, int] = {}
    for event in kept.values():
        assert row_of(event) > last.get(event["userId"], 0), "rows of one user arrived out of order"
        last[event["userId"]] = row_of(event)


def test_every_row_is_sent_or_skipped_and_the_sums_agree(run: Run, gateway: RecordingGateway) -> None:
    report = run()
    assert report.finished
    assert report.rows == N_ROWS == report.sent + N_SKIPPED
    assert report.skipped == {"no_user": N_SKIPPED}
    assert report.rejected == {}
    assert len(gateway.events) == report.sent
    assert set(gateway.paths) == {"/v1/import"}
    assert_complete_and_in_order(gateway, report.sent)


def test_rows_of_a_user_keep_their_order_under_refusals_drops_and_lost_answers(
    run: Run, gateway: RecordingGateway
) -> None:
    dice = random.Random(7)
    troubles = [
        None,
        None,
        None,
        "drop",
        "lose_answer",
        (503, {"Retry-After": "0"}),
        (429, {"Retry-After": "0"}),
        (500, {}),
    ]
    gateway.trouble = lambda n: dice.choice(troubles)
    report = run(batch=100, concurrency=4)
    assert report.finished
    assert report.n_retries > 20
    assert len(gateway.events) > report.sent, "lost answers must have caused batches to be sent twice"
    assert_complete_and_in_order(gateway, report.sent)


def test_the_whole_file_arrives_in_order_with_one_lane(run: Run, gateway: RecordingGateway) -> None:
    run(concurrency=1)
    rows = [row_of(event) for event in gateway.events]
    assert rows == sorted(rows)


def test_batches_are_bounded_by_count_and_by_bytes(run: Run, gateway: RecordingGateway, tmp_path: Path) -> None:
    big = tmp_path / "big.jsonl"
    line = {"type": "track", "event": "E", "userId": "u", "properties": {"text": "x" * 20_000}}
    big.write_text("\n".join(json.dumps({**line, "messageId": f"m-{i}"}) for i in range(100)))
    run(file=big, format="jsonl", map_path=None, segment=True, batch=60)
    assert [len(b["batch"]) for b in gateway.batches][:2] == [22, 22]
    run(batch=300, concurrency=2)
    assert max(len(b["batch"]) for b in gateway.batches) == 300


def test_rejected_rows_are_counted_and_written_with_their_reason(run: Run, gateway: RecordingGateway) -> None:
    gateway.verdict = lambda e: ("event_too_large", "over 32 KB") if row_of(e) % 1_000 == 1 else None
    report = run()
    assert report.rejected == {"event_too_large": 20}
    assert report.rows == report.sent + N_SKIPPED + 20
    lines = [json.loads(line) for line in Path(report.rejects_path).read_text().splitlines()]
    assert [line["row"] for line in lines] == list(range(1, N_ROWS, 1_000))
    assert lines[3]["message"] == "over 32 KB"
    assert lines[3]["event"]["messageId"] == lines[3]["messageId"]
    assert Path(report.rejects_path).name == "sales.csv.rejects.jsonl"


def test_a_batch_of_which_every_event_is_rejected_is_counted_row_by_row(run: Run, gateway: RecordingGateway) -> None:
    gateway.verdict = lambda e: ("invalid_type", "no")
    report = run()
    assert report.finished
    assert report.sent == 0
    assert report.rejected == {"invalid_type": N_ROWS - N_SKIPPED}


def test_a_batch_refused_as_a_whole_is_halved_until_the_event_at_fault_is_alone(
    run: Run, gateway: RecordingGateway, tmp_path: Path
) -> None:
    lines = [json.dumps({"type": "track", "event": "E", "userId": "u", "messageId": f"m-{i}"}) for i in range(20)]
    lines[7] = json.dumps({"type": "track", "event": "E", "userId": "u", "messageId": "m-7", "x": "y" * 600_000})
    path = tmp_path / "one_huge.jsonl"
    path.write_text("\n".join(lines))
    report = run(file=path, format="jsonl", map_path=None, segment=True)
    assert report.sent == 19
    assert report.rejected == {"body_too_large": 1}
    assert [e["messageId"] for e in gateway.events] == [f"m-{i}" for i in range(20) if i != 7]


def test_a_killed_import_goes_on_and_every_row_counts_once(
    run: Run, gateway: RecordingGateway, table: Path, tmp_path: Path
) -> None:
    gateway.verdict = lambda e: ("invalid_type", "bad row") if row_of(e) % 500 == 1 else None
    gateway.trouble = lambda n: "hold" if n >= 100 else None
    code = (
        "import sys; from cluster.importing import checkpoint; checkpoint.SAVE_EVERY_S = 0.0;"
        "from cluster.importing.command import import_file;"
        "import_file(sys.argv[1], url=sys.argv[2], write_key='wk_test', tenant='demo', format='csv',"
        " map_path=sys.argv[3], data_dir=sys.argv[4], batch=100, progress=False)"
    )
    arguments = [str(table), gateway.url, str(tmp_path / "map.json"), str(tmp_path / "data")]
    process = subprocess.Popen([sys.executable, "-c", code, *arguments])
    assert gateway.held.wait(60)
    process.send_signal(signal.SIGKILL)
    process.wait()
    gateway.trouble = lambda n: None
    gateway.release.set()
    before = len(gateway.events)
    report = run(batch=100)
    assert report.finished
    assert 0 < report.resumed_from < N_ROWS, "the checkpoint of the killed run was used"
    assert len(gateway.events) - before < N_ROWS - report.resumed_from, "acknowledged rows were not sent again"
    assert report.rejected == {"invalid_type": 40}
    assert report.rows == report.sent + N_SKIPPED + 40 == N_ROWS
    assert_complete_and_in_order(gateway, report.sent)
    rejected_rows = [json.loads(line)["row"] for line in Path(report.rejects_path).read_text().splitlines()]
    assert rejected_rows == list(range(1, N_ROWS, 500)), "each rejected row is written once"


def test_ctrl_c_leaves_a_checkpoint_from_which_the_import_goes_on(run: Run, gateway: RecordingGateway) -> None:
    gateway.trouble = lambda n: "hold" if n >= 60 else None

    def interrupt() -> None:
        gateway.held.wait(60)
        # To the main thread, as a terminal does: one that only this thread has would not wake the loop.
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    first = run(batch=100)
    thread.join()
    assert not first.finished
    assert 0 < first.rows < N_ROWS
    gateway.trouble = lambda n: None
    gateway.release.set()
    second = run(batch=100)
    assert second.finished
    assert second.resumed_from == first.rows
    assert_complete_and_in_order(gateway, second.sent)


def test_a_finished_import_sends_nothing_again_unless_restarted(run: Run, gateway: RecordingGateway) -> None:
    first = run()
    again = run()
    assert again.rows_this_run == 0
    assert (again.rows, again.sent, again.skipped) == (first.rows, first.sent, first.skipped)
    assert len(gateway.events) == first.sent
    restarted = run(restart=True)
    assert restarted.rows_this_run == N_ROWS
    assert len(gateway.unique()) == first.sent, "the messageIds are the same in every run"


def test_the_same_content_under_another_name_has_the_same_message_ids(
    run: Run, gateway: RecordingGateway, table: Path
) -> None:
    run()
    ids = set(gateway.unique())
    run(file=table.rename(table.with_name("renamed.csv")), restart=True)
    assert set(gateway.unique()) == ids


def test_a_packed_file_gives_the_same_rows(run: Run, gateway: RecordingGateway, table: Path) -> None:
    packed = table.with_name("sales.csv.gz")
    packed.write_bytes(gzip.compress(table.read_bytes()))
    report = run(file=packed)
    assert report.rows == N_ROWS
    assert report.skipped == {"no_user": N_SKIPPED}


def test_requests_are_compressed_when_asked(run: Run, gateway: RecordingGateway) -> None:
    run(compress=True)
    assert set(gateway.encodings) == {"gzip"}
    assert len(gateway.events) == N_ROWS - N_SKIPPED


def test_two_imports_of_the_same_file_at_once_are_refused(run: Run, gateway: RecordingGateway) -> None:
    gateway.trouble = lambda n: "hold"
    first = threading.Thread(target=run)
    first.start()
    assert gateway.held.wait(60)
    with pytest.raises(ConflictError, match="another import"):
        run()
    gateway.release.set()
    gateway.trouble = lambda n: None
    first.join()


def test_a_refused_key_stops_the_import_with_one_clear_error(run: Run) -> None:
    with pytest.raises(InvalidKeyError, match="write key"):
        run(write_key="wk_wrong")


def test_a_server_that_is_no_gateway_is_not_taken_for_one(run: Run, gateway: RecordingGateway) -> None:
    gateway.trouble = lambda n: (200, {})
    with pytest.raises(RequestError, match="does not answer like"):
        run()
    gateway.trouble = lambda n: (307, {"location": "/elsewhere"})
    with pytest.raises(RequestError, match="does not answer like"):
        run()


def test_an_absent_gateway_is_given_up_after_the_stated_patience_and_the_checkpoint_stays(
    run: Run, gateway: RecordingGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint, "SAVE_EVERY_S", 0.0)
    gateway.trouble = lambda n: (503, {"Retry-After": "30"}) if n >= 60 else None
    with pytest.raises(UnavailableError, match="took no batch"):
        run(batch=100, patience_s=5)
    gateway.trouble = lambda n: None
    report = run(batch=100)
    assert report.finished
    assert report.resumed_from > 0
    assert_complete_and_in_order(gateway, report.sent)
