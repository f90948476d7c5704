from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.decisions.context import COLUMNS, LIMIT, NAMES, SCORE, D, bounded_scores, rows_of, transform

anything = st.floats(allow_nan=True, allow_infinity=True)


@given(st.lists(st.lists(anything, min_size=len(NAMES), max_size=len(NAMES)), min_size=1, max_size=5))
def test_whatever_is_logged_becomes_finite_and_bounded(rows: list[list[float]]) -> None:
    x = transform(np.array(rows))
    assert x.shape == (len(rows), D)
    assert np.isfinite(x).all()
    assert np.abs(x).max() <= LIMIT
    assert (x[:, 0] == 1).all()


@given(st.lists(st.lists(anything, min_size=len(NAMES), max_size=len(NAMES)), min_size=1, max_size=40))
def test_a_row_alone_is_the_row_in_a_batch_to_the_bit(rows: list[list[float]]) -> None:
    together = transform(np.array(rows))
    alone = [transform(np.array([row]))[0] for row in rows]
    assert together.tobytes() == np.array(alone).tobytes()


@pytest.mark.parametrize("name", [n for n in NAMES if n in COLUMNS])
def test_a_larger_value_never_gives_a_smaller_coordinate(name: str) -> None:
    rows = np.full((6, len(NAMES)), 1.0)
    rows[:, NAMES.index(name)] = [0, 0.5, 1, 3, 30, 1e30]
    column = transform(rows)[:, COLUMNS.index(name)]
    assert (np.diff(column) >= 0).all()
    assert column[-1] > column[0]


def test_never_contacted_is_as_far_as_contacted_an_eternity_ago() -> None:
    rows = np.ones((3, len(NAMES)))
    rows[:, NAMES.index("hours_since_send")] = [math.nan, 1e30, 0.0]
    assert transform(rows)[:, COLUMNS.index("closeness_of_send")] == pytest.approx([0, 0, 1], abs=1e-5)


def test_midnight_is_next_to_the_last_minute_of_the_day() -> None:
    rows = np.ones((2, len(NAMES)))
    rows[:, NAMES.index("local_hour")] = [0.0, 23.99]
    x = transform(rows)
    assert np.abs(x[0] - x[1]).max() < 0.01


def test_a_list_from_before_a_name_was_added_lacks_that_value() -> None:
    rows = rows_of([[1.0] * len(NAMES), [1.0] * (len(NAMES) - 2)])
    assert np.isnan(rows[1, -2:]).all()
    assert not np.isnan(rows[0]).any()
    assert rows_of([]).shape == (0, len(NAMES))


def test_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="shape"):
        transform(np.ones((2, len(NAMES) + 1)))


def test_a_model_s_score_is_bounded_and_absent_is_zero() -> None:
    assert COLUMNS[SCORE] == "model_score"
    scores = bounded_scores(np.array([[0.2, math.nan], [math.inf, -9.0]]))
    assert scores.tolist() == [[0.2, 0.0], [LIMIT, -LIMIT]]
    assert (transform(np.ones((3, len(NAMES))))[:, SCORE] == 0).all()
