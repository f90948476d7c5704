"""Turns what a transaction wrote into entries: one a row, with the columns that changed, without secrets."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import inspect
from sqlalchemy.orm import InstanceState, Session
from sqlalchemy.orm.attributes import get_history

from cluster.control_plane.models import AuditHeadRow, AuditRow, Base, ChangeRow, ChannelRow, MetaRow
from whisperer.delivery.channels import redacted, redacted_document
from whisperer.ids import TenantId
from whisperer.vocabulary.named import Named

MAX_VALUE_BYTES = 32 << 10
"""A longer value is entered as its digest and size; versions keep their content themselves."""
_UNSEEN = (MetaRow, ChangeRow, AuditRow, AuditHeadRow)
"""The bookkeeping of changes is no change."""


class Verb(Named):
    CREATED = "created"
    CHANGED = "changed"
    DELETED = "deleted"
    READ = "read"
    DID = "did"
    """Something that changed no row, such as a failed sign-in."""


@dataclass(slots=True)
class Entry:
    """One thing that was done. ``before`` and ``after`` hold columns by name; None where there was nothing."""

    tenant_id: TenantId
    verb: Verb
    resource: str
    resource_id: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


class Written:
    """Collects what a session writes, over all its flushes."""

    def __init__(self) -> None:
        self.rows: list[Base] = []
        self._entries: dict[int, Entry] = {}

    def note(self, session: Session, _: object) -> None:
        """Note a flush; listens to `after_flush`, when the session still knows what has changed."""
        for verb, rows in ((Verb.CREATED, session.new), (Verb.CHANGED, session.dirty), (Verb.DELETED, session.deleted)):
            for row in rows:
                if not isinstance(row, _UNSEEN) and (verb is not Verb.CHANGED or session.is_modified(row)):
                    self._note(verb, row)
                    self.rows.append(row)

    def _note(self, verb: Verb, row: Base) -> None:
        before, after = _columns(verb, row)
        earlier = self._entries.get(id(row))
        if earlier is None:
            tenant_id, resource_id = _identity(row)
            self._entries[id(row)] = Entry(tenant_id, verb, row.__tablename__, resource_id, before, after)
            return
        earlier.after = None if verb is Verb.DELETED else (earlier.after or {}) | (after or {})
        if earlier.verb is Verb.CHANGED:
            earlier.before = (before or {}) | (earlier.before or {})
            earlier.verb = verb

    def entries(self) -> list[Entry]:
        """Return one entry a row, in the order of the first write."""
        return list(self._entries.values())


def _columns(verb: Verb, row: Base) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """Return the values before and after: of all columns, or for a changed row of those that changed."""
    state: InstanceState[Any] = inspect(row)
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    for attribute in state.mapper.column_attrs:
        column, name = attribute.columns[0], attribute.key
        history = get_history(row, name)
        now = getattr(row, name)
        if verb is Verb.CHANGED and not history.has_changes():
            continue
        was = history.deleted[0] if history.deleted else now
        secret = bool(column.info.get("secret"))
        before[name] = _shown(row, name, was, secret)
        after[name] = _shown(row, name, now, secret)
    if verb is Verb.CREATED:
        return None, after
    return before, None if verb is Verb.DELETED else after


def _shown(row: Base, name: str, value: Any, secret: bool) -> Any:
    if value is None:
        return None
    if secret:
        return "(secret)"
    if isinstance(row, ChannelRow) and name == "config":
        value = redacted(row.provider, value)
    if isinstance(row, ChannelRow) and name == "plan":
        value = redacted_document(value)
    if isinstance(value, bytes):
        value = value.hex()
    text = json.dumps(value)
    if len(text) <= MAX_VALUE_BYTES:
        return value
    return {"sha256": hashlib.sha256(text.encode()).hexdigest(), "characters": len(text)}


def _identity(row: Base) -> tuple[TenantId, str]:
    state: InstanceState[Any] = inspect(row)
    names = [str(column.key) for column in state.mapper.primary_key]
    if row.__tablename__ == "tenants":
        return row.id, row.id  # type: ignore[attr-defined]
    tenant_id = getattr(row, "tenant_id", None) or TenantId("")
    return tenant_id, "/".join(str(getattr(row, name)) for name in names if name not in ("tenant_id", "hash"))


def of_tenant(entries: Iterable[Entry]) -> dict[TenantId, list[Entry]]:
    """Return the entries by tenant, in the order of tenants' ids: everybody locks logs in the same order."""
    found: dict[TenantId, list[Entry]] = {}
    for entry in sorted(entries, key=lambda one: one.tenant_id):
        found.setdefault(entry.tenant_id, []).append(entry)
    return found
