from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serve_apps.delivery.sink import Sink, SinkProvider
from serve_apps.delivery.sink_schema import open_connection
from tests.unit.whisperer.delivery.dispatches import PARTS, dispatch
from whisperer.delivery.dispatch import Verdict
from whisperer.errors import UnavailableError

ROOT = Path(__file__).parents[4]
NOW = 1_700_000_000_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sink.db"


@pytest.fixture
def sink(path: Path) -> Iterator[Sink]:
    opened = Sink(path)
    yield opened
    opened.close()


def test_a_message_is_kept_as_it_was_sent(sink: Sink) -> None:
    headers = {"List-Unsubscribe": "<https://example.com/u/1>"}
    [receipt] = sink.accept([dispatch(headers=headers)], NOW)
    assert (receipt.status, receipt.provider, receipt.content_hash, receipt.locale) == (
        Verdict.ACCEPTED,
        "sink",
        "c0ffee",
        "de",
    )
    kept = sink.message("tn_1", dispatch().send_key)
    assert kept is not None
    assert receipt.provider_id == f"sink-{kept.serial}"
    assert (kept.parts, kept.headers, kept.received_at, kept.n_received) == (PARTS["email"], headers, NOW, 1)
    assert (kept.user_key, kept.address, kept.campaign, kept.decision_id) == (
        "u:ada",
        "ada@example.com",
        "welcome",
        "dec_0",
    )
    assert sink.message("tn_2", dispatch().send_key) is None


def test_the_sender_that_a_campaign_names_is_among_the_headers(sink: Sink) -> None:
    unsubscribe = {"List-Unsubscribe": "<https://example.com/u/1>"}
    sender = {"from_name": "Ada, of \U0001f469\u200d\U0001f4bb & Söhne", "reply_to": "Help <help@acme.example>"}
    sink.accept([dispatch(1, headers=unsubscribe, **sender), dispatch(2, from_name="Acme"), dispatch(3)], NOW)
    kept = [message.headers for message in sink.messages("tn_1")]
    assert kept == [
        {"From": sender["from_name"], "Reply-To": sender["reply_to"], **unsubscribe},
        {"From": "Acme"},
        {},
    ]


def test_a_send_key_that_comes_again_is_counted_and_is_one_message(sink: Sink) -> None:
    [first] = sink.accept([dispatch()], NOW)
    second, third, new = sink.accept([dispatch(attempt=1), dispatch(attempt=2), dispatch(1)], NOW + 1)
    assert first.provider_id == second.provider_id == third.provider_id != new.provider_id
    kept = sink.message("tn_1", dispatch().send_key)
    assert kept is not None
    assert (kept.n_received, kept.received_at) == (3, NOW)
    counts = sink.counts("tn_1")
    assert (counts.by_channel, counts.total, counts.n_repeats, counts.doubled) == ({"email": 2}, 2, 2, 0)
    assert [message.serial for message in sink.messages("tn_1")] == [1, 2]  # a repeat costs no serial


def test_tenants_do_not_meet(sink: Sink) -> None:
    sink.accept([dispatch(tenant="tn_1"), dispatch(tenant="tn_2"), dispatch(1, "sms", tenant="tn_2")], NOW)
    assert [message.tenant for message in sink.messages("tn_1")] == ["tn_1"]
    assert sink.counts("tn_2").by_channel == {"email": 1, "sms": 1}
    assert sink.counts("tn_3").total == 0


def test_the_latest_of_all_tenants_come_newest_first(sink: Sink) -> None:
    sink.accept([dispatch(n, tenant=f"tn_{n % 2}") for n in range(5)], NOW)
    assert [(message.serial, message.tenant) for message in sink.latest(3)] == [(5, "tn_0"), (4, "tn_1"), (3, "tn_0")]


def test_doubled_messages_are_counted_where_no_index_rules_them_out(sink: Sink, path: Path) -> None:
    sink.accept([dispatch(0), dispatch(1)], NOW)
    assert sink.counts("tn_1").doubled == 0
    damaged = sqlite3.connect(path, isolation_level=None)
    damaged.execute("DROP INDEX message_by_key")
    names = "tenant, send_key, channel, user_key, address, campaign, decision_id, locale, parts, headers, content_hash"
    columns = f"{names}, received_at, n_received"
    damaged.execute(f"INSERT INTO message ({columns}) SELECT {columns} FROM message WHERE serial = 1")
    damaged.close()
    assert sink.counts("tn_1").doubled == 1


def test_special_addresses_play_difficult_recipients(sink: Sink) -> None:
    addresses = ["bounce+1@example.com", "reject+1@example.com", "defer+1@example.com", "ada+bounce@example.com"]
    receipts = sink.accept([dispatch(n, address=address) for n, address in enumerate(addresses)], NOW)
    assert [receipt.status for receipt in receipts] == [
        Verdict.BOUNCED,
        Verdict.REJECTED,
        Verdict.RETRY,
        Verdict.ACCEPTED,
    ]
    assert sink.counts("tn_1").total == 1
    again = [sink.accept([dispatch(2, address="defer+1@example.com", attempt=n)], NOW)[0].status for n in (1, 2, 3)]
    assert again == [Verdict.RETRY, Verdict.ACCEPTED, Verdict.ACCEPTED]
    [push] = sink.accept([dispatch(9, "push", address="bounce+token")], NOW)
    assert push.status == Verdict.BOUNCED


def test_messages_are_paged_in_both_directions_and_filtered(sink: Sink) -> None:
    sink.accept(
        [
            dispatch(
                n, ["email", "sms"][n % 2], user_key=f"u:{n % 3}", campaign=f"c{n % 5}", address=f"a{n}@example.com"
            )
            for n in range(30)
        ],
        NOW,
    )
    everything = sink.messages("tn_1")
    assert [message.serial for message in everything] == list(range(1, 31))
    assert [m.serial for m in sink.messages("tn_1", after=10, limit=3)] == [11, 12, 13]
    assert [m.serial for m in sink.messages("tn_1", before=10, limit=3)] == [9, 8, 7]
    assert sink.messages("tn_1", after=30) == sink.messages("tn_1", before=1) == sink.messages("tn_1", limit=0) == []
    for filters in ({"channel": "sms"}, {"user_key": "u:1"}, {"campaign": "c3"}, {"channel": "sms", "campaign": "c3"}):
        wanted = [m.serial for m in everything if all(getattr(m, name) == value for name, value in filters.items())]
        assert [m.serial for m in sink.messages("tn_1", **filters)] == wanted  # type: ignore[arg-type]
        backwards = [m.serial for m in sink.messages("tn_1", before=1_000, **filters)]  # type: ignore[arg-type]
        assert backwards == wanted[::-1]


def test_the_file_is_bounded_and_keeps_the_newest(path: Path) -> None:
    sink = Sink(path, keep=100)
    for first in range(0, 3_000, 50):
        sink.accept([dispatch(n) for n in range(first, first + 50)], NOW)
    kept = sink.messages("tn_1", limit=1_000)
    n_kept = 3_000 - kept[0].serial + 1
    assert 100 <= n_kept <= 1_150
    assert sink.trim(100) == n_kept - 100
    assert [m.serial for m in sink.messages("tn_1", limit=1_000)] == list(range(2_901, 3_001))
    assert sink.counts("tn_1").total == 3_000  # what was trimmed was sent all the same
    assert sink.trim(0) == 100
    [receipt] = sink.accept([dispatch(5_000)], NOW)
    assert receipt.provider_id == "sink-3001"  # a serial is never given twice
    sink.close()


def test_a_strange_text_fails_nobody(sink: Sink) -> None:
    strange = dispatch(parts={"text": "\ud800\0"}, headers={"X": "\ud800"}, user_key="u:\ud800'; DROP TABLE message--")
    assert [receipt.status for receipt in sink.accept([strange, dispatch(1)], NOW)] == [
        Verdict.ACCEPTED,
        Verdict.ACCEPTED,
    ]
    assert sink.messages("tn_1", user_key="' OR 1=1 --") == []
    assert sink.counts("tn_1").total == 2


def test_a_batch_that_fails_leaves_nothing_behind(sink: Sink) -> None:
    with pytest.raises(AttributeError):
        sink.accept([dispatch(), None], NOW)  # type: ignore[list-item]
    assert sink.counts("tn_1").total == 0
    assert sink.messages("tn_1") == []
    assert sink.accept([dispatch()], NOW)[0].status == Verdict.ACCEPTED


def test_the_file_is_private_and_of_a_known_layout(path: Path) -> None:
    Sink(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA user_version=2")
    raw.close()
    with pytest.raises(UnavailableError, match="layout 2"):
        Sink(path)


async def test_a_file_that_cannot_be_written_asks_for_another_attempt(path: Path) -> None:
    sink = Sink(path)
    sink.close()
    receipt = await SinkProvider(sink, lambda: NOW).send(dispatch())
    assert receipt.status == Verdict.RETRY


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 8), st.sampled_from(["tn_1", "tn_2"])), max_size=6), max_size=8))
def test_counts_are_those_of_a_naive_store(batches: list[list[tuple[int, str]]]) -> None:
    with tempfile.TemporaryDirectory() as folder:  # one an example, which a fixture would not be
        _compare_with_a_dict(Sink(Path(folder) / "sink.db"), batches)


def _compare_with_a_dict(sink: Sink, batches: list[list[tuple[int, str]]]) -> None:
    presented: dict[tuple[str, int], int] = {}
    for batch in batches:
        sink.accept([dispatch(n, tenant=tenant) for n, tenant in batch], NOW)
        for n, tenant in batch:
            presented[tenant, n] = presented.get((tenant, n), 0) + 1
    for tenant in ("tn_1", "tn_2"):
        mine = {n: times for (owner, n), times in presented.items() if owner == tenant}
        counts = sink.counts(tenant)
        assert (counts.total, counts.n_repeats, counts.doubled) == (len(mine), sum(mine.values()) - len(mine), 0)
        assert {m.send_key: m.n_received for m in sink.messages(tenant)} == {
            dispatch(n).send_key: times for n, times in mine.items()
        }
    sink.close()


def test_many_threads_and_openers_share_a_file(path: Path) -> None:
    failures: list[BaseException] = []

    def work(name: int) -> None:
        try:
            mine = Sink(path)
            for number in range(10):
                mine.accept([dispatch(decision_id=f"{name}-{number}"), dispatch(decision_id="shared")], NOW)
            mine.close()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    sink = Sink(path)
    counts = sink.counts("tn_1")
    assert (counts.total, counts.n_repeats, counts.doubled) == (61, 59, 0)
    sink.close()


def test_a_killed_process_loses_and_doubles_nothing_that_was_answered(path: Path) -> None:
    open_connection(path).close()
    command = [sys.executable, "-m", "tests.unit.whisperer.delivery.accepting", str(path)]
    answered: list[str] = []
    for round_number in range(3):
        processes = [
            subprocess.Popen([*command, f"r{round_number}p{n}", size], cwd=ROOT, stdout=subprocess.PIPE, text=True)
            for n, size in enumerate(("1", "20"))
        ]
        for process in processes:  # each has answered some before any is killed, in the middle of what comes next
            assert process.stdout is not None
            answered.extend(process.stdout.readline().strip() for _ in range(40))
        for process in processes:
            process.kill()
        for process in processes:
            rest, _ = process.communicate()
            # A line that was cut while it was written was not answered whole.
            answered.extend(line for line in rest.split("\n")[:-1] if len(line) == 30)
    sink = Sink(path)
    missing = [key for key in answered if sink.message("tn_1", key) is None]
    assert missing == []
    counts = sink.counts("tn_1")
    assert counts.doubled == 0
    assert counts.total >= len(set(answered)) >= 240
    # Driven again after the crash, everything that was answered is still one message.
    kept = sink.messages("tn_1", limit=1_000)
    sink.accept([dispatch(decision_id=message.decision_id) for message in kept], NOW)
    after = sink.counts("tn_1")
    assert (after.total, after.n_repeats, after.doubled) == (counts.total, len(kept), 0)
    check = sqlite3.connect(path)
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()
    sink.close()


NEEDLE = "u:needle-in-the-sink"


def test_what_was_sent_to_a_forgotten_user_is_in_no_byte_of_the_files(sink: Sink, path: Path) -> None:
    parts = {"subject": NEEDLE, "html": NEEDLE * 3_000}  # pages of its own
    sent = [
        dispatch(n, user_key=NEEDLE if n % 3 else "u:ada", parts=parts if n % 3 else PARTS["email"]) for n in range(60)
    ]
    sink.accept(sent, NOW)
    assert sink.forget("tn_1", [NEEDLE], NOW) == 40
    for file in path.parent.iterdir():
        assert NEEDLE.encode() not in file.read_bytes(), file.name
    assert len(sink.messages("tn_1")) == 20


def test_a_message_that_was_on_its_way_when_its_user_was_forgotten_is_not_kept(sink: Sink) -> None:
    sink.forget("tn_1", [NEEDLE], NOW)
    on_its_way, later = (
        dispatch(1, user_key=NEEDLE, decided_at=NOW),
        dispatch(2, user_key=NEEDLE, decided_at=NOW + 1),
    )
    others = dispatch(3, user_key=NEEDLE, tenant="tn_2", decided_at=NOW)
    assert {receipt.status for receipt in sink.accept([on_its_way, later, others], NOW)} == {Verdict.ACCEPTED}
    assert [message.decision_id for message in sink.messages("tn_1")] == ["dec_2"]
    assert [message.decision_id for message in sink.messages("tn_2")] == ["dec_3"]
