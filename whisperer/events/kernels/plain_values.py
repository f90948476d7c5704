"""Read times, amounts and ids in the forms that SDKs write, in kernels. The text is as in :mod:`.syntax`.

Any other form is :data:`ODD`: it may be good, odd or wrong, and :mod:`~whisperer.events.clock` and
:mod:`~whisperer.events.exact.money` decide. For everything read here, they give the same value.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from whisperer.events.kernels.intrinsics import byte_at, kernel

ABSENT = -(2**62)
ODD = ABSENT + 1

_QUOTE, _PLUS, _MINUS, _DOT, _ZERO, _COLON, _T, _Z = 0x22, 0x2B, 0x2D, 0x2E, 0x30, 0x3A, 0x54, 0x5A
_MAX_DIGITS = 15  # in a number; times and amounts of this length are exact in a float, too
_MAX_EXACT_MICROS = 10**15  # below, a float times 1e6 is off by less than a quarter, so rounding gives the decimal
_SECONDS_BELOW = 100_000_000_000
_DAY_MS, _HOUR_MS, _MINUTE_MS = 86_400_000, 3_600_000, 60_000
_DAYS_TO_1970 = 719_468  # from 1 March of year 0
_MONTH_DAYS = np.array([0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


@kernel
def plain_instant(text: Any, start: int, stop: int) -> int:
    """Return a JSON value in ms UTC, else ODD: an integer, or ``YYYY-MM-DDTHH:MM:SS[.f...](Z|+hh:mm|-hh:mm)``."""
    if byte_at(text, start) != _QUOTE:
        number = plain_integer(text, start, stop)
        if number == ODD:
            return ODD
        return number * 1_000 if -_SECONDS_BELOW < number < _SECONDS_BELOW else number
    start, stop = start + 1, stop - 1
    if stop - start < 20:
        return ODD
    if byte_at(text, start + 4) != _MINUS or byte_at(text, start + 7) != _MINUS or byte_at(text, start + 10) != _T:
        return ODD
    if byte_at(text, start + 13) != _COLON or byte_at(text, start + 16) != _COLON:
        return ODD
    year = _number(text, start, 4)
    month, day = _number(text, start + 5, 2), _number(text, start + 8, 2)
    hour, minute, second = _number(text, start + 11, 2), _number(text, start + 14, 2), _number(text, start + 17, 2)
    if year < 1 or month < 1 or month > 12 or day < 1 or hour < 0 or minute < 0 or second < 0:
        return ODD
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > _MONTH_DAYS[month] + (month == 2 and is_leap) or hour > 23 or minute > 59 or second > 59:
        return ODD
    at = start + 19
    thousandths = 0
    if byte_at(text, at) == _DOT:
        at += 1
        scale = 100
        first = at
        while 0 <= byte_at(text, at) - _ZERO <= 9:
            thousandths += (byte_at(text, at) - _ZERO) * scale
            scale //= 10
            at += 1
        if at == first:
            return ODD
    moment = _days(year, month, day) * _DAY_MS + hour * _HOUR_MS + minute * _MINUTE_MS + second * 1_000 + thousandths
    sign = byte_at(text, at)
    if sign == _Z and at + 1 == stop:
        return moment
    if (sign != _PLUS and sign != _MINUS) or at + 6 != stop or byte_at(text, at + 3) != _COLON:
        return ODD
    hours, minutes = _number(text, at + 1, 2), _number(text, at + 4, 2)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return ODD
    offset = hours * _HOUR_MS + minutes * _MINUTE_MS
    return moment - offset if sign == _PLUS else moment + offset


@kernel
def plain_micros(text: Any, start: int, stop: int) -> int:
    """Return a JSON number without an exponent and with at most six decimals in micro-units, else ODD."""
    micros, n_decimals = 0, -1
    at = start + 1 if byte_at(text, start) == _MINUS else start
    if stop - at > _MAX_DIGITS + 1:
        return ODD
    for i in range(at, stop):
        byte = byte_at(text, i)
        if byte == _DOT and n_decimals < 0:
            n_decimals = 0
        elif 0 <= byte - _ZERO <= 9:
            micros = micros * 10 + byte - _ZERO
            if n_decimals >= 0:
                n_decimals += 1
        else:
            return ODD
    for _ in range(6 - max(n_decimals, 0)):
        micros *= 10
        if micros >= _MAX_EXACT_MICROS:
            return ODD
    if n_decimals > 6:
        return ODD
    return micros if at == start else -micros


@kernel
def plain_integer(text: Any, start: int, stop: int) -> int:
    """Return a JSON integer of at most 15 digits, else ODD."""
    at = start + 1 if byte_at(text, start) == _MINUS else start
    if stop - at > _MAX_DIGITS:
        return ODD
    number = _number(text, at, stop - at)
    if number < 0:
        return ODD
    return number if at == start else -number


@kernel
def _number(text: Any, at: int, n_digits: int) -> int:
    number = 0
    for i in range(at, at + n_digits):
        digit = byte_at(text, i) - _ZERO
        if digit < 0 or digit > 9:
            return -1
        number = number * 10 + digit
    return number


@kernel
def _days(year: int, month: int, day: int) -> int:
    """Return the days since 1 January 1970 in the proleptic Gregorian calendar, counting years from March."""
    year -= month <= 2
    month = month - 3 if month > 2 else month + 9
    era, of_era = year // 400, year % 400
    of_year = (153 * month + 2) // 5 + day - 1
    return era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - _DAYS_TO_1970
