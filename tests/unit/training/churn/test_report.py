from __future__ import annotations

import numpy as np
import pytest

from training.churn.encode import ColumnError, Encoding
from training.churn.report import AbsentClassError, report

LABEL = np.arange(200) % 4 == 0


def test_columns_that_teach_nothing_are_named() -> None:
    found = report({"one": np.ones(200), "word": np.full(200, "a"), "gone": np.full(200, np.nan)}, LABEL)
    assert (found.constant, found.missing) == (("one", "word"), ("gone",))
    assert found.unusable == {"one", "word", "gone"}
    assert len(found.sentences()) == 3


def test_a_number_that_is_sometimes_missing_is_not_constant() -> None:
    assert report({"some": np.where(LABEL, 1.0, np.nan)}, LABEL).constant == ()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_column_written_after_the_fact_is_suspected(sign: int) -> None:
    noise = np.random.default_rng(0).normal(size=200)
    found = report({"after": sign * (LABEL * 10 + noise), "honest": LABEL + noise}, LABEL)
    assert list(found.leaking) == ["after"]
    assert "known at the cutoff" in found.sentences()[0]
    assert "after" not in found.unusable


def test_words_leak_like_numbers_but_rare_words_are_no_leak() -> None:
    found = report({"status": np.where(LABEL, "cancelled", "active"), "id": np.arange(200).astype(str)}, LABEL)
    assert "status" in found.leaking
    assert report({"plan": np.where(np.arange(200) % 3 == 0, "a", "b")}, LABEL).leaking == {}


@pytest.mark.parametrize("label", [np.zeros(200, bool), np.ones(200, bool), np.arange(200) < 19])
def test_an_absent_class_is_refused(label: np.ndarray) -> None:
    with pytest.raises(AbsentClassError):
        report({"x": np.arange(200.0)}, label)


def test_a_column_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="x has 3 rows, the label 200"):
        report({"x": np.zeros(3)}, LABEL)


def test_an_encoding_knows_categories_orders_columns_and_reads_what_it_never_saw() -> None:
    plan = np.array(["free"] * 10 + ["paid"] * 10 + ["odd"])
    encoding = Encoding.learn({"plan": plan, "age": np.arange(21), "vip": np.arange(21) > 3})
    assert encoding.names == ("age", "vip", "plan=free", "plan=paid")
    matrix = encoding.matrix({"vip": np.array([True]), "plan": np.array(["new"]), "age": np.array([np.inf])})
    assert np.isnan(matrix[0, 0])
    assert matrix[0, 1:].tolist() == [1, 0, 0]
    with pytest.raises(ColumnError, match="missing: vip"):
        encoding.matrix({"plan": plan, "age": np.arange(21)})
