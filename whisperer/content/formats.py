"""Write numbers, money and dates as the reader's locale writes them: the template filters for it.

A value that is not a number or a time fails the rendering with a sentence for the campaign's author: a message with a
wrong price is worse than none. A date without a time is that calendar day everywhere; a time is shown in the user's
zone.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, tzinfo
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, dates, lists, numbers
from liquid.exceptions import FilterArgumentError
from liquid.filter import with_context

from whisperer.events.clock import instant
from whisperer.events.place import KNOWN_ZONES

PLURAL_FORMS = ("zero", "one", "two", "few", "many", "other")
STYLES = ("short", "medium", "long", "full")
MAX_NUMBER = 10**15  # a larger one is a mistake, and its digits would fill the message
MAX_DECIMALS = 6
_MAX_DATE_CHARS = 64
_CURRENCY = re.compile(r"[A-Z]{3}")
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def zone_of(name: str) -> tzinfo:
    """Return the zone of an IANA name, UTC if it is not known."""
    return ZoneInfo(name) if name in KNOWN_ZONES else UTC


@with_context
def money(value: object, currency: object = None, *, context: Any) -> str:
    """Write an amount of money: ``{{ 9.5 | money: "EUR" }}``."""
    code = str(currency or "").upper()
    if not _CURRENCY.fullmatch(code):
        raise _wrong('money needs a currency by its three letters, as in money: "EUR"')
    return numbers.format_currency(_number(value, "money"), code, locale=_locale(context))


@with_context
def number(value: object, decimals: object = None, *, context: Any) -> str:
    """Write a number, with as many decimals as given: ``{{ 1234.5 | number }}``, ``{{ 1234.5 | number: 2 }}``."""
    amount = _number(value, "number")
    if decimals is None:
        return numbers.format_decimal(amount, locale=_locale(context))
    if type(decimals) is not int or not 0 <= decimals <= MAX_DECIMALS:
        raise _wrong(f"number takes 0 to {MAX_DECIMALS} decimals")
    pattern = "#,##0" + ("." + "0" * decimals if decimals else "")
    return numbers.format_decimal(amount, format=pattern, locale=_locale(context))


@with_context
def percent(value: object, *, context: Any) -> str:
    """Write a percentage; 20 means 20 %: ``{{ 20 | percent }}``."""
    return numbers.format_percent(_number(value, "percent") / 100, locale=_locale(context), decimal_quantization=False)


@with_context
def date_filter(value: object, style: object = "medium", *, context: Any) -> str:
    """Write a date: ``{{ event.due | date }}``, ``{{ now | date: "full" }}``."""
    moment = _moment(value, "date")
    day = moment if not isinstance(moment, datetime) else moment.astimezone(context.zone)
    return dates.format_date(day, format=_style(style, "date"), locale=_locale(context))


@with_context
def time_filter(value: object, style: object = "short", *, context: Any) -> str:
    """Write a time of day: ``{{ event.starts | time }}``."""
    moment = _moment(value, "time")
    if not isinstance(moment, datetime):
        raise _wrong("time needs a time of day; this is a date alone")
    return dates.format_time(moment, format=_style(style, "time"), tzinfo=context.zone, locale=_locale(context))


@with_context
def datetime_filter(value: object, style: object = "medium", *, context: Any) -> str:
    """Write a date and time: ``{{ event.starts | datetime: "long" }}``."""
    moment = _moment(value, "datetime")
    if not isinstance(moment, datetime):
        raise _wrong("datetime needs a time of day; this is a date alone")
    return dates.format_datetime(moment, format=_style(style, "datetime"), tzinfo=context.zone, locale=_locale(context))


@with_context
def plural(value: object, *, context: Any, **forms: object) -> str:
    """Write the form that a number takes, by CLDR's categories; ``#`` in it is the number.

    ``{{ n | plural: one: "# file", other: "# files" }}``; a category that is left out is ``other``.
    """
    amount = _number(value, "plural")
    if "other" not in forms or not set(forms) <= set(PLURAL_FORMS):
        raise _wrong(f"plural takes the forms {', '.join(PLURAL_FORMS)}; other has to be there")
    whole = int(amount) if amount == amount.to_integral_value() else amount
    form = str(forms.get(_locale(context).plural_form(whole), forms["other"]))
    return form.replace("#", numbers.format_decimal(amount, locale=_locale(context)))


@with_context
def relative_filter(value: object, *, context: Any) -> str:
    """Write how far away a time is: ``{{ event.due | relative }}`` is "in 3 days" or "2 hours ago"."""
    moment, now = _moment(value, "relative"), _moment(context.resolve("now"), "relative")
    assert isinstance(now, datetime)
    has_time = isinstance(moment, datetime)
    away = moment - (now if has_time else now.astimezone(context.zone).date())
    return dates.format_timedelta(
        away, granularity="second" if has_time else "day", add_direction=True, threshold=1.0, locale=_locale(context)
    )


@with_context
def list_filter(values: object, kind: object = "and", *, context: Any) -> str:
    """Write a list as a sentence does: ``{{ user.teams | list }}``, ``{{ event.sizes | list: "or" }}``."""
    if kind not in ("and", "or"):
        raise _wrong('list takes "and" or "or"')
    if not isinstance(values, (list, tuple)) or any(isinstance(one, (dict, list)) for one in values):
        raise _wrong("list needs a list of texts or numbers")
    style: Any = "standard" if kind == "and" else "or"
    return lists.format_list([str(one) for one in values], style=style, locale=_locale(context))


FILTERS = {
    "money": money,
    "number": number,
    "percent": percent,
    "date": date_filter,
    "time": time_filter,
    "datetime": datetime_filter,
    "plural": plural,
    "relative": relative_filter,
    "list": list_filter,
}


def _locale(context: Any) -> Locale:
    found: Locale = context.conventions
    return found


def _wrong(message: str) -> FilterArgumentError:
    return FilterArgumentError(message, token=None)


def _style(style: object, name: str) -> Any:
    if style not in STYLES:
        raise _wrong(f"{name} takes one of {', '.join(STYLES)}")
    return style


def _number(value: object, name: str) -> Decimal:
    if isinstance(value, str) and len(value) <= 32:
        try:
            value = float(value)
        except ValueError:
            raise _wrong(f"{name} needs a number, not a text") from None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _wrong(f"{name} needs a number")
    if not math.isfinite(value) or abs(value) > MAX_NUMBER:
        raise _wrong(f"{name} takes numbers up to {MAX_NUMBER:,}")
    return Decimal(str(value))  # the shortest exact form: 0.1 is 0.1


def _moment(value: object, name: str) -> date | datetime:
    try:
        if isinstance(value, str) and len(value) <= _MAX_DATE_CHARS:
            if _DAY.fullmatch(value):
                return date.fromisoformat(value)
            found = instant(value)
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
            found = instant(value)
        else:
            found = None
        if found is not None:
            return datetime.fromtimestamp(found / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        pass
    raise _wrong(f"{name} needs a date: ISO 8601, or milliseconds since 1970")
