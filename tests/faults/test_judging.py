"""The verdict of the fault runs: an event that is missing or counted twice must not go unseen."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from tests.faults import judging
from tests.faults.counted_load import CountedLoad, Pace, Request
from tests.faults.judging import Verdict, judge


class CountingTenant:
    """Counts as a product would: events by user."""

    def __init__(self, **counted: int) -> None:
        self.counted = counted

    def user(self, user: str) -> dict[str, Any] | None:
        n = self.counted.get(user)
        if n is None:
            return None
        return {"event_counts": {"Clicked": n}, "features": {"revenue_micros": n * 1_000_000}}

    def counts(self) -> dict[str, int]:
        return {"events_accepted": sum(self.counted.values()), "events_duplicate": 0}


@pytest.fixture
def load() -> CountedLoad:
    """Ada was told yes for two events, Bob for one."""
    made = CountedLoad(CountingTenant(), Pace())  # type: ignore[arg-type]  # never started
    made.told.acknowledged.update({"ada": 2, "bob": 1})
    made.told.ids.update({"a1", "a2", "b1"})
    return made


def verdict(monkeypatch: pytest.MonkeyPatch, load: CountedLoad, rows: str, **counted: int) -> Verdict:
    monkeypatch.setattr(judging, "warehouse_rows", lambda *_: Counter(rows.split()))
    return judge(None, CountingTenant(**counted), load)  # type: ignore[arg-type]


def found(verdict: Verdict) -> tuple[int, int]:
    return verdict.lost, verdict.doubled


def test_everything_once_is_neither_lost_nor_doubled(monkeypatch: pytest.MonkeyPatch, load: CountedLoad) -> None:
    told = verdict(monkeypatch, load, "a1 a2 b1", ada=2, bob=1)
    assert found(told) == (0, 0)
    assert told.acknowledged == 3
    assert told.problems == []


def test_an_event_that_one_user_lacks_and_another_has_too_often_is_both(
    monkeypatch: pytest.MonkeyPatch, load: CountedLoad
) -> None:
    assert found(verdict(monkeypatch, load, "a1 a2 b1", ada=1, bob=2)) == (1, 1)


def test_a_user_who_is_not_there_at_all_is_lost(monkeypatch: pytest.MonkeyPatch, load: CountedLoad) -> None:
    assert found(verdict(monkeypatch, load, "a1 a2 b1", bob=1)) == (2, 0)


def test_a_row_that_the_warehouse_lacks_is_lost_although_the_shards_counted_it(
    monkeypatch: pytest.MonkeyPatch, load: CountedLoad
) -> None:
    assert found(verdict(monkeypatch, load, "a1 b1", ada=2, bob=1)) == (1, 0)


def test_a_row_that_is_there_twice_is_doubled(monkeypatch: pytest.MonkeyPatch, load: CountedLoad) -> None:
    assert found(verdict(monkeypatch, load, "a1 a2 b1 b1", ada=2, bob=1)) == (0, 1)


@pytest.mark.parametrize("stored", [True, False])
def test_what_was_never_answered_may_be_stored_or_not_and_is_said(
    monkeypatch: pytest.MonkeyPatch, load: CountedLoad, stored: bool
) -> None:
    load.told.open.append(Request("/v1/track", b"", ("bob",), ("b2",)))
    told = verdict(monkeypatch, load, "a1 a2 b1" + " b2" * stored, ada=2, bob=1 + stored)
    assert found(told) == (0, 0)
    assert told.problems == ["1 events were never answered"]


def test_an_event_that_nobody_sent_is_a_problem(monkeypatch: pytest.MonkeyPatch, load: CountedLoad) -> None:
    assert "nobody sent" in verdict(monkeypatch, load, "a1 a2 b1 x9", ada=2, bob=1).problems[0]
