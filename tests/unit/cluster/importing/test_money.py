from __future__ import annotations

import json
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

import msgspec
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.importing.columns import Column
from cluster.importing.money import json_amount, revenue_micro
from whisperer.events.exact.money import micro_units

quantities = st.integers(-100_000, 100_000)
prices = st.decimals(-60_000, 60_000, places=3)


def micro(*columns: list[Any] | pa.Array) -> tuple[list[int | None], list[bool]]:
    amounts, bad = revenue_micro([Column(c) if isinstance(c, pa.Array) else Column.of_values(c) for c in columns])
    return amounts, bad.tolist()


@settings(deadline=None)
@given(st.lists(st.tuples(quantities, prices), min_size=1))
def test_a_product_of_floats_is_the_product_of_the_decimals_they_stand_for(rows: list[tuple[int, Decimal]]) -> None:
    expected = [int(q * p * 1_000_000) for q, p in rows]
    by_float, bad = micro([q for q, _ in rows], [float(p) for _, p in rows])
    assert by_float == expected
    assert not any(bad)
    by_text, _ = micro([str(q) for q, _ in rows], [str(p) for _, p in rows])
    assert by_text == expected


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_more_than_six_decimals_are_rounded_half_even(amounts: list[float]) -> None:
    got, _ = micro(amounts)
    assert got == [int((Decimal(str(a)) * 1_000_000).to_integral_value(ROUND_HALF_EVEN)) for a in amounts]


@settings(deadline=None)
@given(st.integers(-(2**62), 2**62))
def test_the_number_on_the_wire_reads_back_to_the_same_micros_with_at_most_six_decimals(amount: int) -> None:
    text = msgspec.json.encode(json_amount(amount)).decode()
    assert micro_units(json.loads(text)) == amount
    assert Decimal(text.strip('"')) * 1_000_000 == amount


def test_two_fractional_factors_multiply_exactly() -> None:
    assert micro([0.1, 1.005], [0.1, 100.0]) == ([10_000, 100_500_000], [False, False])


def test_null_is_no_revenue_and_text_that_is_no_number_is_bad() -> None:
    assert micro([3, None, 4], [1.5, 2.0, None]) == ([4_500_000, None, None], [False] * 3)
    assert micro(pa.array([1.0, float("nan")])) == ([1_000_000, None], [False, False])
    assert micro(["12.50", "twelve", None]) == ([12_500_000, None, None], [False, True, False])


def test_an_amount_beyond_64_bits_is_bad_and_a_large_one_is_exact() -> None:
    assert micro([9_000_000_000_000, 90_000_000_000_000], [1, 1]) == ([9_000_000_000_000_000_000, None], [False, True])
    assert micro(["1E+3000", "inf", "nan"])[1] == [True, True, True]


def test_decimal_columns_are_taken_as_they_are() -> None:
    assert micro(pa.array([Decimal("19.99"), Decimal("-0.01")]))[0] == [19_990_000, -10_000]
