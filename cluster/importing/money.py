"""Computes each row's revenue exactly: decimal products rounded half-even to micro-units, sent with at most 6 decimals.

Money in tables is mostly float64. A float that is the nearest one to k / 1e6 (for whole k below 1e15) stands for that
decimal and no other short one, so the product of k with whole factors is computed in integers, a column at a time.
Everything else (two fractional factors, more than 6 decimals, huge numbers, text that is not a plain decimal) is
computed with ``decimal``, row by row.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .columns import Column
from .written import number

MICRO = 1_000_000
_EXACT = float(2**53)
_MAX_SCALED = 1e15
_MAX_MICRO = 2**63 - 1
_CONTEXT = Context(prec=60, rounding=ROUND_HALF_EVEN)


def revenue_micro(columns: list[Column]) -> tuple[list[int | None], NDArray[np.bool_]]:
    """Multiply the columns, in micro-units.

    Returns
    -------
    micro : one per row; None where a factor is null or the row is bad
    bad : bool[n], a factor is not a number, or the product does not fit 64 bits of micro-units
    """
    null = np.logical_or.reduce([c.is_null() for c in columns])
    factors = [f for f in map(_floats, columns) if f is not None]
    micro, exact = _exact_products(factors) if len(factors) == len(columns) else _none_exact(null)
    result: list[int | None] = micro.tolist()
    bad = np.zeros(len(null), bool)
    for row in np.flatnonzero(null).tolist():
        result[row] = None
    slow = np.flatnonzero(~exact & ~null).tolist()
    if slow:
        values = [c.values() for c in columns]
        for row in slow:
            result[row] = product = _decimal_product([v[row] for v in values])
            bad[row] = product is None
    return result, bad


def json_amount(micro: int) -> int | float | str:
    """Return the JSON value of an amount: whole units as an integer, otherwise the decimal that reads back to the same
    micros.

    Returns text where a reader's float64 would no longer do that.
    """
    units, rest = divmod(micro, MICRO)
    if not rest:
        return units
    if -_MAX_SCALED < micro < _MAX_SCALED:
        return micro / MICRO  # its shortest form has at most 6 decimals
    return format(Decimal(micro).scaleb(-6, _CONTEXT), "f")


def _none_exact(null: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    return np.zeros(len(null), np.int64), np.zeros(len(null), bool)


def _floats(column: Column) -> NDArray[np.float64] | None:
    """Return a column as float64, without loss for whole numbers below 2**53, or None if a row needs a closer look."""
    array = column.array
    if array is None:
        return None
    if column.is_text:
        try:
            array = array.cast(pa.float64())
        except pa.ArrowInvalid:
            return None
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        return None
    filled = pc.fill_null(array.cast(pa.float64(), safe=False), float("nan"))
    return np.asarray(filled.to_numpy(zero_copy_only=False), np.float64)


def _exact_products(factors: list[NDArray[np.float64]]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    n = len(factors[0])
    product, n_fractional, exact = np.ones(n), np.zeros(n, np.int64), np.ones(n, bool)
    with np.errstate(invalid="ignore", over="ignore"):
        for factor in factors:
            scaled = np.rint(factor * MICRO)
            whole = factor == np.rint(factor)
            exact &= (scaled / MICRO == factor) & (np.abs(scaled) < _MAX_SCALED)
            n_fractional += ~whole
            product *= np.where(whole, factor, scaled)
        product *= np.where(n_fractional == 0, float(MICRO), 1.0)
        exact &= (n_fractional <= 1) & (np.abs(product) < _EXACT)
    return np.where(exact, product, 0.0).astype(np.int64), exact


def _decimal_product(values: list[Any]) -> int | None:
    product = Decimal(1)
    for value in values:
        if isinstance(value, bool) or (isinstance(value, float) and not math.isfinite(value)):
            return None
        try:
            factor = number(value) if isinstance(value, str) else value
            product = _CONTEXT.multiply(product, Decimal(str(factor)))
        except InvalidOperation:
            return None
    if not product.is_finite() or product.adjusted() > 13:
        return None
    micro = int(product.scaleb(6, _CONTEXT).to_integral_value(ROUND_HALF_EVEN))
    return micro if -_MAX_MICRO <= micro <= _MAX_MICRO else None
