"""Read the single values of a campaign: names, amounts, times, offers.

Every method returns the value read, or None after noting a problem at its JSON Pointer; none raises, and none recurses
into the input.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection
from functools import lru_cache
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from whisperer.delivery.senders import Sender, name_problem, reply_to_problem
from whisperer.journeys import limits
from whisperer.journeys.campaign import USER_ZONE
from whisperer.profiles.features import FEATURES
from whisperer.segments.values import ValueReader, shown

_NAME = re.compile(limits.NAME_PATTERN)
_TIME = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])")
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(s|m|h|d)")
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_LISTED_FIELDS = 8


class Reader(ValueReader):
    """Read values at JSON Pointers and collect the problems found. ``at`` is always such a pointer."""

    def __init__(self, features: Collection[str] | None = FEATURES) -> None:
        super().__init__()
        self.features = features

    def fields(self, obj: Any, at: str, what: str, known: tuple[str, ...]) -> dict[str, Any] | None:
        """Read an object, noting fields that are not ``known``."""
        if type(obj) is not dict:
            self.note(at, "invalid_type", f"{what} is an object with {', '.join(known)}, not {shown(obj)}")
            return None
        for key in islice((key for key in obj if key not in known), _LISTED_FIELDS):
            place = f"{at}/{shown(key).strip(chr(39)).replace('~', '~0').replace('/', '~1')}"
            self.note(place, "unknown_field", f"{shown(key)} means nothing here; known are {', '.join(known)}")
        return obj

    def entries(self, obj: Any, at: str, what: str, most: int) -> list[Any] | None:
        """Read the first ``most`` entries of a list, noting whether there are more."""
        if type(obj) is not list:
            self.note(at, "invalid_type", f"write a list of {what}, not {shown(obj)}")
            return None
        if len(obj) > most:
            self.note(at, "too_many", f"{len(obj)} {what}; at most {most}")
        return obj[:most]

    def has(self, fields: dict[str, Any], key: str, at: str, meaning: str) -> bool:
        """Return whether a required field is there, noting a problem if it is not."""
        if key not in fields:
            self.note(at, "missing_field", f"say {meaning}, as {key}")
        return key in fields

    def name(self, value: Any, at: str) -> str | None:
        """Read a name that matches ``limits.NAME_PATTERN``."""
        if type(value) is str and _NAME.fullmatch(value):
            return value
        self.note(
            at,
            "invalid_name",
            f"{shown(value)} is not usable: 1 to 63 letters, digits, '-', '_' or '.', starting with a letter or digit",
        )
        return None

    def one_of(self, value: Any, at: str, known: Collection[str]) -> str | None:
        """Read one of the ``known`` texts."""
        if type(value) is str and value in known:
            return value
        self.note(at, "unknown_value", f"write one of {', '.join(known)}, not {shown(value)}")
        return None

    def amount(self, value: Any, at: str, low: float, high: float, *, above: bool = False) -> float | None:
        """Read a finite number in [low, high], or (low, high] if ``above``."""
        range_of = f"a number {'above' if above else 'from'} {low:,g} up to {high:,g}"
        if type(value) not in (int, float):
            self.note(at, "invalid_type", f"write {range_of}, not {shown(value)}")
        elif type(value) is float and not math.isfinite(value):
            self.note(at, "not_finite", f"write {range_of}; NaN and infinity are none")
        elif not low <= value <= high or (above and value == low):
            self.note(at, "out_of_range", f"write {range_of}, not {shown(value)}")
        else:
            return float(value)
        return None

    def window(self, fields: dict[str, Any], at: str) -> float | None:
        """Read a duration in seconds, from ``window_s`` or from ``window`` such as "72h"."""
        if ("window" in fields) == ("window_s" in fields):
            told = "both of them" if "window" in fields else "neither"
            message = f"say how long the goal may take, by one of window_s (seconds) and window (72h); it has {told}"
            self.note(at, "invalid_window", message)
            return None
        if "window_s" in fields:
            return self.amount(fields["window_s"], f"{at}/window_s", 0, limits.MAX_WINDOW_S, above=True)
        value = fields["window"]
        match = _DURATION.fullmatch(value) if type(value) is str and len(value) <= 20 else None
        if match is None:
            message = f"write a number and a unit of s, m, h or d, such as 72h, not {shown(value)}"
            self.note(f"{at}/window", "invalid_window", message)
            return None
        seconds = float(match[1]) * _SECONDS[match[2]]
        return self.amount(seconds, f"{at}/window", 0, limits.MAX_WINDOW_S, above=True)

    def cron(self, value: Any, at: str) -> str | None:
        """Read a cron expression that fires at some time."""
        if (text := self.text(value, at, limits.MAX_CRON)) is None:
            return None
        from whisperer.journeys import schedule  # imported with the first schedule, not with every campaign

        try:
            schedule.validate(text)
        except ValueError as error:
            self.note(at, "invalid_cron", str(error))
            return None
        return text

    def zone(self, value: Any, at: str) -> str | None:
        """Read an IANA zone name, or ``user``."""
        if value == USER_ZONE or (type(value) is str and len(value) <= 64 and _is_zone(value)):
            return str(value)
        message = f"{shown(value)} is no time zone; write an IANA name such as Europe/Berlin, or {USER_ZONE}"
        self.note(at, "unknown_zone", message)
        return None

    def minutes(self, value: Any, at: str) -> int | None:
        """Read ``HH:MM`` as minutes after midnight."""
        match = _TIME.fullmatch(value) if type(value) is str and len(value) == 5 else None
        if match is None:
            self.note(at, "invalid_time", f"write a time from 00:00 to 23:59, not {shown(value)}")
            return None
        return int(match[1]) * 60 + int(match[2])

    def offer(self, value: Any, at: str) -> dict[str, Any] | None:
        """Read any JSON object within the limits; templates see it as ``offer``."""
        if value is None:
            return None
        if type(value) is not dict:
            self.note(at, "invalid_type", f"an offer is an object or null, not {shown(value)}")
            return None
        if self._is_bounded(value, at):
            n_bytes = len(msgspec.json.encode(value))
            if n_bytes <= limits.MAX_OFFER_BYTES:
                return value
            self.note(at, "too_large", f"{n_bytes} bytes of JSON; at most {limits.MAX_OFFER_BYTES}")
        return None

    def sender(self, fields: dict[str, Any], at: str) -> Sender:
        """Read ``from_name`` and ``reply_to``; "" for what is not there, is null, or is refused."""
        read = []
        for name, problem_of in (("from_name", name_problem), ("reply_to", reply_to_problem)):
            value, place, text = fields.get(name), f"{at}/{name}", ""
            if type(value) is str:
                text = value.strip()
                if (problem := problem_of(value)) is not None:
                    self.note(place, problem.code, problem.message)
                    text = ""
            elif value is not None:
                self.note(place, "invalid_type", f"write a text, not {shown(value)}")
            read.append(text)
        return Sender(*read)

    def _is_bounded(self, offer: dict[str, Any], at: str) -> bool:
        """Return whether all values are JSON, within depth and number; level by level, so that depth costs no stack."""
        level: list[Any] = [offer]
        n_values = 1
        for _ in range(limits.MAX_OFFER_DEPTH + 1):
            below: list[Any] = []
            for value in level:
                if type(value) is dict or type(value) is list:
                    n_values += len(value)
                    if n_values > limits.MAX_OFFER_VALUES:
                        self.note(at, "too_many", f"over {limits.MAX_OFFER_VALUES} values in this offer; write fewer")
                        return False
                    below.extend(value.values() if type(value) is dict else value)
                if not self._is_json(value, at):
                    return False
            if not below:
                return True
            level = below
        self.note(at, "too_deep", f"this offer is nested over {limits.MAX_OFFER_DEPTH} levels; write it flatter")
        return False

    def _is_json(self, value: Any, at: str) -> bool:
        texts = [value] if type(value) is str else list(value) if type(value) is dict else []
        if texts:
            return all(self.text(text, at, limits.MAX_OFFER_BYTES, may_be_empty=True) is not None for text in texts)
        return value is None or type(value) in (bool, dict, list) or self._scalar(value, at) is not None


@lru_cache(maxsize=1_024)
def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; not a relative path; a folder of zones
        return False
    return True
