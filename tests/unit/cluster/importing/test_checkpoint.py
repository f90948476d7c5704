"""The ledger alone: rows are settled without gaps, and what a dead process left half-written is undone."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from cluster.importing.checkpoint import Ledger, Totals
from cluster.importing.chunk import MappedChunk, Outgoing, Reject
from whisperer.errors import ConflictError


def ledger_in(folder: Path) -> Ledger:
    return Ledger(folder, Totals("f.csv", "id", "map", "t"), clock=lambda: 0.0)


def chunk(first: int, n_rows: int, *, skipped: int = 0, rejects: list[Reject] | None = None) -> MappedChunk:
    n_events = n_rows - skipped - len(rejects or [])
    events = [Outgoing(row, "u", f"f-{row}", b"{}") for row in range(first, first + n_events)]
    return MappedChunk(n_rows, events, Counter({"why": skipped} if skipped else {}), rejects or [])


def test_rows_count_only_once_all_before_them_are_settled(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    one, two = chunk(1, 10, skipped=2), chunk(11, 5)
    ledger.opened(one)
    ledger.opened(two)
    ledger.settle(two.events, [])
    assert (ledger.totals.rows, ledger.n_open) == (0, 2)
    ledger.settle(one.events[:3], [])
    ledger.settle(one.events[3:], [Reject(5, "bad", "no")])
    totals = ledger.totals
    assert (totals.rows, totals.sent, totals.skipped, totals.rejected) == (15, 12, {"why": 2}, {"bad": 1})
    assert ledger.n_open == 0
    ledger.close()


def test_a_batch_may_span_chunks(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    one, two = chunk(1, 4), chunk(5, 4)
    ledger.opened(one)
    ledger.opened(two)
    ledger.settle(one.events + two.events[:2], [Reject(6, "bad", ""), Reject(2, "bad", "")])
    assert (ledger.totals.rows, ledger.totals.sent) == (4, 3)
    ledger.settle(two.events[2:], [])
    assert (ledger.totals.rows, ledger.totals.sent, ledger.totals.rejected) == (8, 6, {"bad": 2})
    ledger.close()


def test_a_chunk_of_which_nothing_is_sent_is_settled_at_once(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    ledger.opened(chunk(1, 3, skipped=3))
    assert ledger.totals.rows == 3
    ledger.close()


def test_rejects_written_after_the_last_checkpoint_are_cut_off(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    ledger.opened(chunk(1, 1, rejects=[Reject(1, "bad", "kept")]))
    ledger.save()
    ledger.opened(chunk(2, 1, rejects=[Reject(2, "bad", "beyond the checkpoint")]))
    ledger.close()  # the process died: written, but no checkpoint says so
    again = ledger_in(tmp_path)
    assert again.resumed_from == 1
    again.opened(chunk(2, 1, rejects=[Reject(2, "bad", "again")]))
    again.save()
    again.close()
    lines = [json.loads(line) for line in again.rejects_path.read_text().splitlines()]
    assert [(line["row"], line["message"]) for line in lines] == [(1, "kept"), (2, "again")]


def test_a_second_ledger_on_the_same_folder_is_refused(tmp_path: Path) -> None:
    ledger = ledger_in(tmp_path)
    with pytest.raises(ConflictError):
        ledger_in(tmp_path)
    ledger.close()
    ledger_in(tmp_path).close()
