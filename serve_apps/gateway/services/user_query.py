"""Reads what a list of users is asked for: filters, order, fields, from the parameters of an address.

Everything that exists is in the tables below; a name that is not there is refused with those that are. Values are
bounded, so that what one list costs a shard is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from whisperer.errors import RequestError
from whisperer.events.clock import instant
from whisperer.ids import ANONYMOUS_PREFIX, KNOWN_PREFIX, TenantId
from whisperer.profiles.trait_texts import MAX_SOUGHT
from whisperer.shard.views.listing import BY_ID, COMPARISONS, NUMBERS, TIMES, Bound, TraitSought, UserQuery

MOST_FILTERS, MOST_TRAIT_FILTERS, MOST_FIELDS = 10, 4, 30
_TRAITS = "traits."
_MOMENTS = {"after": "gt", "before": "lt"}
FILTERS = {
    "traits.NAME": "a trait's value, as text",
    "traits.NAME][prefix": "the beginning of a trait that is a text",
    "segment": "the name of a published segment",
    "user_id][prefix": "the beginning of a userId",
    "known": "true or false",
    **{f"{name}][{op}": "an ISO 8601 time" for name in TIMES for op in _MOMENTS},
    **{f"{name}][{op}": "a number" for name in NUMBERS if name not in TIMES for op in COMPARISONS},
}
"""What stands between the outer brackets of `filter[...]` -> its value."""
SORTS = (BY_ID, *NUMBERS)
ALWAYS = ("user_id", "anonymous_id")
"""Fields that are shown whatever is asked for: one of them is how the user is called."""
USUAL = (*ALWAYS, "first_seen", "last_seen", "events", "score", "engagement", "segments")
FIELDS = (*USUAL, "traits", "time_zone", "locale")
USUAL_SORT = BY_ID


class Asked(msgspec.Struct):
    """Says who is asked for and what is shown of them."""

    query: UserQuery
    fields: tuple[str, ...]


def read_query(
    tenant: TenantId, filters: Iterable[tuple[str, str]], sort: str | None, fields: str | None, limit: int
) -> Asked:
    """Return what is asked for. Raises RequestError: unknown_filter, invalid_filter, too_many_filters, unknown_sort,
    unknown_field.

    Parameters
    ----------
    filters : what stands between the outer brackets of `filter[...]`, and the value
    sort : one of :data:`SORTS`, after a minus for the reverse
    fields : some of :data:`FIELDS` or ``traits.NAME``, separated by commas
    """
    query = UserQuery(tenant=tenant, limit=limit)
    for n, (name, value) in enumerate(filters):
        if n == MOST_FILTERS:
            raise RequestError(f"a list has {MOST_FILTERS} filters at most", code="too_many_filters")
        _filter(query, name, value)
    if len(query.sought) > MOST_TRAIT_FILTERS:
        raise RequestError(f"a list looks for {MOST_TRAIT_FILTERS} traits at most", code="too_many_filters")
    if sort is not None:
        query.sort, query.descends = sort.removeprefix("-"), sort.startswith("-")
        if query.sort not in SORTS:
            known = f"{_listed(SORTS)}, or one of them after a minus"
            raise RequestError(f"users cannot be sorted by {sort[:80]!r}; there are {known}", code="unknown_sort")
    shown = USUAL if fields is None else _fields(fields)
    query.traits = None if "traits" in shown else [name[len(_TRAITS) :] for name in shown if name.startswith(_TRAITS)]
    query.shows_segments = "segments" in shown
    return Asked(query, shown)


def _filter(query: UserQuery, written: str, value: str) -> None:
    name, has_operator, operator = written.rpartition("][")
    if not has_operator:
        name, operator = written, ""
    if len(value) > MAX_SOUGHT:
        raise _invalid(written, f"a value of {MAX_SOUGHT} characters at most", value)
    if name.startswith(_TRAITS) and len(name) > len(_TRAITS) and operator in ("", "eq", "prefix"):
        query.sought.append(TraitSought(name[len(_TRAITS) :], value, operator == "prefix"))
    elif written == "segment":
        query.segments.append(value)
    elif written == "known":
        _set_kind(query, written, value)
    elif written == "user_id][prefix":
        if query.key_prefix == ANONYMOUS_PREFIX:
            raise _invalid("known", "true, or nothing, next to user_id: who has one is known", "false")
        query.key_prefix = KNOWN_PREFIX + value
    elif name in TIMES and operator in _MOMENTS:
        moment = instant(value)
        if moment is None:
            raise _invalid(written, "an ISO 8601 time such as 2026-01-31T00:00:00Z", value)
        query.bounds.append(Bound(name, _MOMENTS[operator], float(moment)))
    elif name in NUMBERS and name not in TIMES and operator in COMPARISONS:
        query.bounds.append(Bound(name, operator, _number(written, value)))
    else:
        known = _listed(f"filter[{one}]" for one in FILTERS)
        raise RequestError(f"there is no filter[{written[:80]}]; there are {known}", code="unknown_filter")


def _set_kind(query: UserQuery, written: str, value: str) -> None:
    if value not in ("true", "false"):
        raise _invalid(written, "true or false", value)
    if query.key_prefix and value == "false":
        raise _invalid(written, "true, or nothing, next to user_id: who has one is known", value)
    query.key_prefix = query.key_prefix or (KNOWN_PREFIX if value == "true" else ANONYMOUS_PREFIX)


def _number(written: str, value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not math.isfinite(found):
        raise _invalid(written, "a number", value)
    return found


def _fields(written: str) -> tuple[str, ...]:
    named = [name.strip() for name in written.split(",")]
    if len(named) > MOST_FIELDS:
        raise RequestError(f"a list shows {MOST_FIELDS} fields at most", code="unknown_field")
    for name in named:
        if name not in FIELDS and not (name.startswith(_TRAITS) and len(name) > len(_TRAITS)):
            known = f"{_listed(FIELDS)}, and traits.NAME"
            raise RequestError(f"a list of users has no field {name[:80]!r}; there are {known}", code="unknown_field")
    return tuple(dict.fromkeys((*ALWAYS, *named)))


def _invalid(written: str, wanted: str, value: str) -> RequestError:
    return RequestError(f"filter[{written[:80]}] takes {wanted}, not {value[:80]!r}", code="invalid_filter")


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)
