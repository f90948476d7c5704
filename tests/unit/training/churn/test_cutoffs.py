from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.churn.cutoffs import Histories, features_at, rolling_rows
from whisperer.vocabulary.units import DAY_MS

CUTOFF = 400 * DAY_MS
HORIZON = 90 * DAY_MS


def day(*days: float) -> list[int]:
    return [round(d * DAY_MS) for d in days]


def test_features_are_what_one_counts_by_hand() -> None:
    at = day(300.5, 310.25, 310.75, 350.5, 390.5, 395.5)
    histories = Histories.of(["ann"] * 6, at, [10, 5, 15, 30, 40, -8])
    made = {name: column[0] for name, column in features_at(histories, CUTOFF, HORIZON).items()}
    assert made["occasions"] == 4  # two events on one day are one occasion, the thing taken back is none
    assert made["events"] == 5
    assert (made["recency"], made["tenure"]) == (10, 100)
    assert made["gap_mean"] == pytest.approx(30)
    assert made["gap_sd"] == pytest.approx(np.std([10, 40, 40]))
    assert (made["gap_last"], made["gap_longest"]) == (40, 40)
    assert made["recency_over_gap"] == pytest.approx(1 / 3)
    assert (made["occasions_7d"], made["occasions_30d"], made["occasions_90d"]) == (0, 1, 3)
    assert (made["value"], made["value_mean"], made["value_last"], made["value_first"]) == (100, 25, 40, 10)
    assert (made["taken_back"], made["value_taken_back"]) == (1, 8)
    assert 0 < made["p_purchase"] < made["p_alive"] < 1


def test_a_label_is_a_return_within_the_horizon_and_nothing_else() -> None:
    users = ["at cutoff", "late", "in time", "took back", "never"]
    ahead = [CUTOFF, CUTOFF + HORIZON, CUTOFF + HORIZON - 1, CUTOFF + 5]
    histories = Histories.of(users + users[:4], day(*[390] * 5) + ahead, [1.0] * 8 + [-1.0])
    rows = rolling_rows(histories, [CUTOFF], HORIZON, 30 * DAY_MS, CUTOFF + HORIZON)
    returned = {str(histories.ids[user]) for user in rows.user[rows.returned]}
    assert returned == {"at cutoff", "in time"}
    assert len(rows.user) == 5


def test_only_who_was_active_makes_a_row_and_only_ripe_cutoffs_do() -> None:
    histories = Histories.of([1, 2, 3], day(100, 390, 401), [1.0, 1.0, 1.0])
    rows = rolling_rows(histories, day(400, 430), HORIZON, 30 * DAY_MS, CUTOFF + HORIZON + DAY_MS)
    assert histories.ids[rows.user].tolist() == [2]
    assert np.unique(rows.cutoff_ms).tolist() == day(400)
    with pytest.raises(ValueError, match="no cutoff"):
        rolling_rows(histories, [CUTOFF], HORIZON, 30 * DAY_MS, CUTOFF + HORIZON - 1)


hours = st.one_of(st.integers(0, 800 * 24), st.integers(398 * 24, 402 * 24), st.sampled_from([400 * 24 - 1, 400 * 24]))
events = st.lists(st.tuples(st.integers(0, 4), hours, st.integers(-50, 500)), min_size=1, max_size=60)


@settings(max_examples=30, deadline=None)
@given(events, events)
def test_nothing_after_the_cutoff_reaches_a_feature(
    past: list[tuple[int, int, int]], future: list[tuple[int, int, int]]
) -> None:
    """Everything that lies after the cutoff is replaced by something else; the features are the same to the last bit."""

    def rows(kept: list[tuple[int, int, int]]) -> dict[int, bytes]:
        user, hour, value = zip(*kept, (9, 390 * 24, 1), strict=True)  # user 9 keeps the table from being empty
        histories = Histories.of(user, np.array(hour) * (DAY_MS // 24), value)
        made = rolling_rows(histories, [CUTOFF], HORIZON, 365 * DAY_MS, CUTOFF + HORIZON)
        return {int(histories.ids[at]): made.x[i].tobytes() for i, at in enumerate(made.user)}

    before = [event for event in past if event[1] < 400 * 24]
    after = [event for event in future if event[1] >= 400 * 24]
    assert rows(past) == rows(before) == rows(before + after)


def test_events_in_any_order_and_from_arrow_make_the_same_histories() -> None:
    user, at, value = ["b", "a", "b", "a"], [4, 3, 2, 1], [1.0, 2.0, 3.0, 4.0]
    one = Histories.of(user, at, value)
    other = Histories.of(pa.array(user[::-1]), pa.array(at[::-1]), pa.array(value[::-1]))
    for name in ("ids", "user", "at_ms", "value"):
        assert getattr(one, name).tolist() == getattr(other, name).tolist()


def test_columns_that_do_not_fit_together_are_refused() -> None:
    with pytest.raises(ValueError, match="2 users, 1 times"):
        Histories.of([1, 2], [1], [1.0])
    with pytest.raises(ValueError, match="index 1 is not finite"):
        Histories.of([1, 2], [1, 2], [1.0, float("nan")])


def test_blocks_hold_neighbouring_cutoffs_together() -> None:
    histories = Histories.of([1], day(100), [1.0])
    rows = rolling_rows(histories, day(110, 120, 130, 140, 150), HORIZON, 365 * DAY_MS, CUTOFF)
    assert rows.blocks(2).tolist() == [0, 0, 0, 1, 1]
    assert rows.blocks(99).tolist() == [0, 1, 2, 3, 4]
