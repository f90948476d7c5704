"""Converts event times: a column and a rule become milliseconds UTC.

Decides how each type of column is read: times and dates by their own unit, numbers as units since an origin, text by a
format or as ISO 8601. Fractions of a millisecond are rounded down. A value that cannot be read is marked invalid, and
so is a time before 1970, which the gateway would replace with now; the caller decides what becomes of the row.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from .columns import Column
from .map_file import MapError, Timestamp
from .written import as_number

_UNIT_US = {
    "days": 86_400_000_000,
    "hours": 3_600_000_000,
    "minutes": 60_000_000,
    "seconds": 1_000_000,
    "milliseconds": 1_000,
    "microseconds": 1,
}
_ARROW_ZONES_UNTIL_US = 2_114_380_800_000_000  # 2037-01-01
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999  # the end of year 9999, the last that ISO 8601 can write


def to_ms(column: Column, rule: Timestamp) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return milliseconds UTC of each row, int64[n], and whether it could be read, bool[n]."""
    array = column.array
    if rule.unit is not None:
        us, valid = _numbers_us(column, rule)
    elif array is not None and (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        us, valid = _arrow_us(array, rule.time_zone)
    elif column.is_text and array is not None:
        us, valid = _text_us(array, rule)
    else:
        us, valid = _each_us(column.values(), rule)
    ms = us // 1_000
    valid = valid & (ms >= 0) & (ms <= _LAST_MS)
    return np.where(valid, ms, 0), valid


def parse_instant(text: str, time_zone: str, *, where: str) -> int:
    """Return milliseconds UTC of an ISO 8601 time in a map; without an offset it is local to ``time_zone``. Raises
    MapError.
    """
    us = _iso_us(text, ZoneInfo(time_zone))
    if us is None:
        raise MapError(f'{where}: {text!r} is not an ISO 8601 time such as "2026-01-01T00:00Z"')
    return us // 1_000


def iso_texts(ms: NDArray[np.int64]) -> list[str]:
    """Format each time as ``2026-01-01T00:00:00.000Z``."""
    return [text + "Z" for text in np.datetime_as_string(ms.astype("datetime64[ms]"), unit="ms").tolist()]


def _numbers_us(column: Column, rule: Timestamp) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    unit = _UNIT_US[rule.unit or "seconds"]
    origin = parse_instant(rule.origin, rule.time_zone, where="timestamp.origin") * 1_000 if rule.origin else 0
    array = column.array
    if array is not None and pa.types.is_integer(array.type):
        valid = pc.is_valid(array).to_numpy(zero_copy_only=False)
        number = pc.fill_null(array, 0).to_numpy(zero_copy_only=False)
        valid = valid & (np.abs(number.astype(np.float64)) < 2**62 / unit)
        return origin + np.where(valid, number, 0).astype(np.int64) * unit, valid
    value = np.array([_float(v) for v in column.values()], np.float64)
    valid = np.isfinite(value) & (np.abs(value) < 2**62 / unit)
    return origin + np.rint(np.where(valid, value, 0.0) * unit).astype(np.int64), valid


def _float(value: Any) -> float:
    found = as_number(value)
    return float(found) if isinstance(found, (int, float, Decimal)) and not isinstance(found, bool) else float("nan")


def _arrow_us(array: pa.Array, time_zone: str) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    valid = pc.is_valid(array).to_numpy(zero_copy_only=False)
    stated = None if pa.types.is_date(array.type) else array.type.tz
    number = pc.fill_null(array.cast(pa.int32() if pa.types.is_date32(array.type) else pa.int64()), 0)
    count = number.to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_date(array.type):
        unit = _UNIT_US["days"] if pa.types.is_date32(array.type) else _UNIT_US["milliseconds"]
    elif array.type.unit == "ns":
        count, unit = count // 1_000, 1
    else:
        unit = {"s": 1_000_000, "ms": 1_000, "us": 1}[array.type.unit]
    valid = valid & (np.abs(count) < 2**62 // unit)
    us = np.where(valid, count, 0) * unit
    return (us if stated is not None or time_zone == "UTC" else _wall_to_utc(us, time_zone)), valid


def _wall_to_utc(wall_us: NDArray[np.int64], time_zone: str) -> NDArray[np.int64]:
    """Convert local times to UTC. Arrow's zones are wrong outside the years of compiled transitions, so those are done
    singly.
    """
    early, late = wall_us < 0, wall_us >= _ARROW_ZONES_UNTIL_US
    odd = early | late
    local = pa.array(np.where(odd, 0, wall_us)).cast(pa.timestamp("us"))
    utc = pc.assume_timezone(local, time_zone, ambiguous="earliest", nonexistent="latest").cast(pa.int64())
    us = utc.to_numpy(zero_copy_only=False)
    if odd.any():
        zone = ZoneInfo(time_zone)
        us = us.copy()
        for i in np.flatnonzero(odd).tolist():
            text = str(np.datetime64(int(wall_us[i]), "us"))
            us[i] = _iso_us(text, zone) or 0
    return np.asarray(us, np.int64)


def _text_us(array: pa.Array, rule: Timestamp) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    if rule.format is not None:  # Arrow's strptime reads 31 February as 3 March
        distinct = array.dictionary_encode()
        us, valid = _each_us(distinct.dictionary.to_pylist(), rule)
        at = pc.fill_null(distinct.indices, len(us)).to_numpy(zero_copy_only=False)
        return np.append(us, 0)[at], np.append(valid, False)[at]
    for target in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        try:
            return _arrow_us(array.cast(target), rule.time_zone)
        except pa.ArrowInvalid:
            continue
    return _each_us(array.to_pylist(), rule)


def _each_us(values: list[Any], rule: Timestamp) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    zone = ZoneInfo(rule.time_zone)
    read = [None if v is None else _iso_us(str(v), zone, rule.format) for v in values]
    valid = np.array([us is not None for us in read], bool)
    return np.array([us or 0 for us in read], np.int64), valid


def _iso_us(text: str, zone: ZoneInfo, pattern: str | None = None) -> int | None:
    try:
        moment = datetime.strptime(text, pattern) if pattern else datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = _localised(moment, zone)
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _localised(moment: datetime, zone: ZoneInfo) -> datetime:
    local = moment.replace(tzinfo=zone, fold=0)
    exists = local.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment
    return local if exists else _jump(moment, zone)


def _jump(moment: datetime, zone: ZoneInfo) -> datetime:
    """Return the instant at which the clock of ``zone`` jumped over this wall time."""
    low = (moment - timedelta(hours=4)).replace(tzinfo=zone).astimezone(UTC)
    high = (moment + timedelta(hours=4)).replace(tzinfo=zone).astimezone(UTC)
    start = low.astimezone(zone).utcoffset()
    while high - low > timedelta(seconds=1):
        middle = low + (high - low) // 2
        low, high = (middle, high) if middle.astimezone(zone).utcoffset() == start else (low, middle)
    return high.replace(microsecond=0)
