"""Describe how a channel's messages are paced and shared among provider accounts, and check it before it is stored.

A channel has one account, which its ``provider`` and ``config`` name, and up to `MAX_FAILOVER` further ones. Each has a
name, a weight, rates and a warm-up of its own. Guarantees: whatever the input, a whole plan within every limit, or
every problem with its place. Leaves to :mod:`whisperer.delivery.rates` and :mod:`whisperer.delivery.choice` what a plan
means for one message.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import msgspec

from whisperer.errors import Problem
from whisperer.vocabulary.units import DAY_MS

MAX_FAILOVER = 3
MAX_WEIGHT = 1_000
MIN_RATE, MAX_RATE = 0.01, 10_000.0
MAX_BURST = 100_000
MIN_PER_DAY, MAX_PER_DAY, MAX_DAYS = 10, 100_000_000, 90
USUAL_WARM_UP = (50, 100, 500, 1_000, 5_000, 10_000, 20_000, 40_000, 70_000, 100_000)
"""Messages on each day for a domain of which mailbox providers know nothing, unless the tenant says otherwise."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Part of a plan."""


class Rates(_Part, frozen=True):
    """How much an account may be given. ``burst``: at once after a rest; a second's worth unless it is said."""

    per_second: float | None = None
    burst: int | None = None
    per_domain_per_second: float | None = None
    """To recipients of one domain; e-mail only."""


class WarmUp(_Part, frozen=True):
    """A new sending domain's first days: so many messages on each from ``started_at`` on, then no limit of its own."""

    started_at: str
    """RFC 3339; days count from this moment."""
    per_day: tuple[int, ...] = msgspec.field(default_factory=lambda: USUAL_WARM_UP)

    def day(self, now: float) -> int:
        """Return the day's number, 0 for the first; before it begins, too."""
        return max(0, int((now - started_at_ms(self.started_at)) // DAY_MS))

    def per_day_on(self, day: int) -> int | None:
        """Return how many messages a day may have, None once it is over.

        >>> [WarmUp("2026-01-01T00:00:00Z", (50, 100)).per_day_on(day) for day in range(3)]
        [50, 100, None]
        """
        return self.per_day[day] if day < len(self.per_day) else None


class Account(_Part, frozen=True):
    """A further provider account of a channel. With weight 0 it only takes over what others could not."""

    provider: str
    config: dict[str, Any] = {}
    name: str = ""
    """Stands in receipts and figures; the provider's unless it is said."""
    weight: int = 0
    rates: Rates | None = None
    warm_up: WarmUp | None = None

    def __repr__(self) -> str:
        return f"Account({self.provider!r}, name={self.name!r}, weight={self.weight})"  # the configuration has secrets


class Plan(_Part, frozen=True):
    """The rest of a channel: about its first account, and the further ones."""

    name: str = ""
    weight: int = 1
    rates: Rates | None = None
    warm_up: WarmUp | None = None
    failover: tuple[Account, ...] = ()


ALONE = Plan()
"""One account without limits."""


def accounts(provider: str, config: dict[str, Any], plan: Plan) -> tuple[Account, ...]:
    """Return a channel's accounts, the first one first, each with its name.

    >>> [account.name for account in accounts("smtp", {}, Plan(failover=(Account("ses"),)))]
    ['smtp', 'ses']
    """
    first = Account(provider, config, plan.name, plan.weight, plan.rates, plan.warm_up)
    return tuple(
        msgspec.structs.replace(account, name=account.name or account.provider) for account in (first, *plan.failover)
    )


def problems_of(provider: object, plan: Plan, *, has_domains: bool) -> list[Problem]:
    """Return everything that is wrong with a plan, except with its providers and their configurations.

    ``has_domains``: whether the channel's addresses have one.
    """
    found: list[Problem] = []
    if len(plan.failover) > MAX_FAILOVER:
        message = f"{len(plan.failover)} further accounts; at most {MAX_FAILOVER}"
        found.append(Problem(pointer="/failover", code="too_many", message=message))
    named = accounts(provider if isinstance(provider, str) else "", {}, plan)[: MAX_FAILOVER + 1]
    if not any(account.weight > 0 for account in named):
        message = "somebody has to carry the messages: give one account a weight above 0"
        found.append(Problem(pointer="/weight", code="out_of_range", message=message))
    seen: set[str] = set()
    for number, account in enumerate(named):
        at = f"/failover/{number - 1}" if number else ""
        if not _NAME.fullmatch(account.name):
            message = "a name has up to 32 small letters, digits, hyphens and underscores"
            found.append(Problem(pointer=f"{at}/name", code="invalid_text", message=message))
        elif account.name in seen:
            message = "two accounts have this name; give each a name of its own"
            found.append(Problem(pointer=f"{at}/name", code="duplicate", message=message))
        seen.add(account.name)
        found += _out_of_range(f"{at}/weight", account.weight, 0, MAX_WEIGHT)
        found += _of_rates(at, account.rates, has_domains)
        found += _of_warm_up(at, account.warm_up)
    return found


def read(document: object) -> Plan | Problem:
    """Return the plan that a document describes, or what is wrong with its form."""
    try:
        return msgspec.convert(document, Plan)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$")
        pointer = re.sub(r"\[(\d+)\]", r"/\1", place.rstrip("`")).replace(".", "/")
        return Problem(pointer=pointer, code="invalid_type", message=message)


def written(plan: Plan) -> dict[str, Any]:
    """Return the document of a plan, without what is as it usually is."""
    found: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(plan))
    return found


def started_at_ms(text: str) -> float:
    """Return a time as ms UTC. Raises ValueError."""
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000


def _of_rates(at: str, rates: Rates | None, has_domains: bool) -> list[Problem]:
    if rates is None:
        return []
    found = [
        *_out_of_range(f"{at}/rates/per_second", rates.per_second, MIN_RATE, MAX_RATE),
        *_out_of_range(f"{at}/rates/burst", rates.burst, 1, MAX_BURST),
        *_out_of_range(f"{at}/rates/per_domain_per_second", rates.per_domain_per_second, MIN_RATE, MAX_RATE),
    ]
    if rates.burst is not None and rates.per_second is None:
        message = "a burst goes with per_second"
        found.append(Problem(pointer=f"{at}/rates/per_second", code="missing_field", message=message))
    if rates.per_domain_per_second is not None and not has_domains:
        message = "only e-mail addresses have a domain"
        found.append(Problem(pointer=f"{at}/rates/per_domain_per_second", code="unknown_field", message=message))
    return found


def _of_warm_up(at: str, warm_up: WarmUp | None) -> list[Problem]:
    if warm_up is None:
        return []
    found: list[Problem] = []
    try:
        started_at_ms(warm_up.started_at)
    except (ValueError, OverflowError):
        message = "started_at is a time, such as 2026-01-31T00:00:00Z"
        found.append(Problem(pointer=f"{at}/warm_up/started_at", code="invalid_time", message=message))
    if not 1 <= len(warm_up.per_day) <= MAX_DAYS:
        message = f"{len(warm_up.per_day)} days; at least 1, at most {MAX_DAYS}"
        found.append(Problem(pointer=f"{at}/warm_up/per_day", code="out_of_range", message=message))
    for day, limit in enumerate(warm_up.per_day[:MAX_DAYS]):
        found += _out_of_range(f"{at}/warm_up/per_day/{day}", limit, MIN_PER_DAY, MAX_PER_DAY)
    return found


def _out_of_range(pointer: str, value: float | None, low: float, high: float) -> list[Problem]:
    if value is None or low <= value <= high:
        return []
    message = f"{pointer.rpartition('/')[2]} is a number from {low:g} to {high:g}"
    return [Problem(pointer=pointer, code="out_of_range", message=message)]
