"""What a data card says of rows, and which rows are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.training.making_rows import churn_table, decision_table, written
from training.card import DataCard, examine
from training.dataset import RowsError, read


def card_of(table: pa.Table, folder: Path, kind: str = "churn") -> DataCard:
    return examine(read(written(table, folder), kind), kind)


def test_columns_that_say_nothing_and_columns_that_say_too_much_are_reported(tmp_path: Path) -> None:
    table = churn_table()
    left = 1.0 - table["came_back"].to_numpy()
    odd = {"closed": left, "plan": np.ones(1_000), "coupon": pa.array([None] * 1_000, pa.float64())}
    for name, column in odd.items():
        table = table.append_column(name, pa.array(column))
    card = card_of(table, tmp_path)
    assert (card.empty, card.constant, card.leaking) == (("coupon",), ("plan",), {"closed": 1.0})
    said = "\n".join(card.sentences())
    assert "coupon has no value in any row." in said
    assert "plan has the same value in every row." in said
    assert "closed alone tells the label (AUC 1.000)" in said
    assert "--drop closed" in said


def test_that_a_value_is_missing_may_be_the_leak(tmp_path: Path) -> None:
    table = churn_table()
    closed_on = np.where(table["came_back"].to_numpy(), np.nan, 3.0 + np.arange(1_000))
    assert "closed_on" in card_of(table.append_column("closed_on", pa.array(closed_on)), tmp_path).leaking


def test_a_column_that_orders_a_number_is_a_leak_and_one_that_helps_is_none(tmp_path: Path) -> None:
    table = decision_table()
    table = table.append_column("paid", pa.array((table["reward_micros"].to_numpy() / 1e6) ** 3))
    assert list(card_of(table, tmp_path, "value").leaking) == ["paid"]


def test_ordinary_rows_are_counted_and_nothing_is_said_of_them(tmp_path: Path) -> None:
    card = card_of(churn_table(), tmp_path)
    assert (card.n_rows, card.n_users, card.sentences()) == (1_000, 250, [])
    silent = card.columns[0]
    assert silent.missing == pytest.approx(0.05, abs=0.02)
    assert silent.low < silent.mean < silent.high
    assert 0.6 < silent.link < 0.95


def test_a_class_that_is_absent_is_refused_with_its_name(tmp_path: Path) -> None:
    few = np.zeros(1_000, bool)
    few[:19] = True
    for came, told in ((few, "only 19 of 1,000 rows are of users who stayed"), (~few, "19 of .* who left")):
        table = churn_table().set_column(2, "came_back", pa.array(came))
        with pytest.raises(RowsError, match=told):
            card_of(table, tmp_path)


def test_a_label_that_never_varies_is_refused(tmp_path: Path) -> None:
    table = decision_table(reward_micros=np.full(3_000, 5_000_000))
    with pytest.raises(RowsError, match="the label is 5 in every row"):
        card_of(table, tmp_path, "value")
