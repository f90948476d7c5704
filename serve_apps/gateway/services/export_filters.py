"""Reads what an export is narrowed to. Everything that exists is in the table below; other names are refused.

`since` and `until` bound the time of a row (`timestamp` of an event, `occurred_at`, `at` of an entry), the latter not
included. Users have the filters of their list, with an operator as an object: `{"score": {"gte": 0.5}}`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cluster.control_plane import AuditQuery
from serve_apps.gateway.http.exchange import InvalidBodyError
from serve_apps.gateway.services.user_query import FIELDS, read_query
from whisperer.errors import RequestError
from whisperer.events.clock import instant
from whisperer.ids import TenantId
from whisperer.shard.views.listing import UserQuery
from whisperer.vocabulary.exports import ExportKind

TIMES = ("since", "until")
MOST_CHARACTERS = 320
EQUAL: dict[ExportKind, tuple[str, ...]] = {
    ExportKind.EVENTS: ("event", "type"),
    ExportKind.DECISIONS: ("campaign", "arm", "reason"),
    ExportKind.DELIVERIES: ("campaign", "channel", "status"),
    ExportKind.OUTCOMES: ("campaign", "kind"),
    ExportKind.REWARDS: ("campaign",),
    ExportKind.AUDIT: ("actor", "resource", "resource_id", "verb"),
}
"""Kind -> columns that may be asked to have a value; with them go :data:`TIMES`. Users have their own."""
USERS_AT_ONCE = 1_000


class Narrowed(msgspec.Struct):
    """What an export is narrowed to; ``users`` and ``audit`` for these two kinds."""

    since: int | None = None
    until: int | None = None
    equal: dict[str, str] = {}
    users: UserQuery | None = None
    audit: AuditQuery | None = None


def read_filter(tenant: TenantId, of: ExportKind, given: dict[str, Any]) -> Narrowed:
    """Return what was asked for. Raises InvalidBodyError at the filter's place."""
    if of is ExportKind.USERS:
        return Narrowed(users=_users(tenant, given))
    known = (*TIMES, *EQUAL[of])
    found = Narrowed()
    for name, value in given.items():
        pointer = f"/filter/{name[:80]}"
        if name not in known:
            raise InvalidBodyError(pointer, f"{of} have no filter {name[:80]!r}; there are {', '.join(known)}")
        if not isinstance(value, str) or len(value) > MOST_CHARACTERS:
            raise InvalidBodyError(pointer, f"write a text of {MOST_CHARACTERS} characters at most")
        if name in TIMES:
            setattr(found, name, _moment(pointer, value))
        else:
            found.equal[name] = value
    if of is ExportKind.AUDIT:
        found.audit = AuditQuery(**found.equal, since=found.since, until=found.until)
    return found


def _moment(pointer: str, value: str) -> int:
    found = instant(value)
    if found is None:
        raise InvalidBodyError(pointer, f"write an ISO 8601 time such as 2026-01-31T00:00:00Z, not {value[:80]!r}")
    return found


def _users(tenant: TenantId, given: dict[str, Any]) -> UserQuery:
    filters: list[tuple[str, str]] = []
    for name, value in given.items():
        if isinstance(value, dict):
            filters += [(f"{name}][{operator}", _text(name, one)) for operator, one in value.items()]
        else:
            filters.append((name, _text(name, value)))
    try:
        return read_query(tenant, filters, None, ",".join(FIELDS), USERS_AT_ONCE).query
    except InvalidBodyError:
        raise
    except RequestError as error:
        raise InvalidBodyError("/filter", error.message) from None


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise InvalidBodyError(f"/filter/{name[:80]}", "write a text, a number, true or false")
