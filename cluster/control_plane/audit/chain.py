"""Appends entries to their logs and computes the hashes that chain them.

An entry's hash is the SHA-256 of the canonical JSON (RFC 8785's order of keys, no spaces, ASCII) of all its columns but
the hash itself, the hash of the entry before among them. Whoever alters, removes or inserts an entry has to recompute
every later one, which no longer fits an earlier export, nor what the gateways wrote down elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from cluster.control_plane.audit.acting import Actor, acting
from cluster.control_plane.audit.entries import Entry, of_tenant
from cluster.control_plane.models import AuditHeadRow, AuditRow
from whisperer.ids import TenantId

START = "0" * 64
"""The hash before the first entry."""
COLUMNS = tuple(column.key for column in AuditRow.__table__.columns if column.key != "hash")


def entry_hash(row: dict[str, Any]) -> str:
    """Return the hash of an entry, given all its columns but ``hash``."""
    text = json.dumps({name: row[name] for name in COLUMNS}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class Head(NamedTuple):
    """The newest entry of a tenant's log."""

    tenant_id: TenantId
    serial: int
    hash: str


def append(session: Session, entries: Iterable[Entry], now_ms: int, actor: Actor | None = None) -> list[Head]:
    """Append entries to their tenants' logs, in the order given, for ``actor`` or else who acts now; return the logs'
    new heads.

    The caller holds the lock on the version counter, or is alone in writing (SQLite): of two transactions that append,
    one waits.
    """
    who = actor or acting()
    heads = []
    for tenant_id, of_one in of_tenant(entries).items():
        head = session.get(AuditHeadRow, tenant_id, populate_existing=True)
        if head is None:
            head = AuditHeadRow(tenant_id=tenant_id, serial=0, hash=START)
            session.add(head)
        for entry in of_one:
            values = {
                "tenant_id": tenant_id,
                "serial": head.serial + 1,
                "at": now_ms,
                "actor_kind": str(who.kind),
                "actor_id": who.id[:64],
                "actor_name": who.name[:320],
                "operation": who.operation[:200],
                "verb": str(entry.verb),
                "resource": entry.resource,
                "resource_id": entry.resource_id[:320],
                "before": entry.before,
                "after": entry.after,
                "address": who.address[:64],
                "request_id": who.request_id[:200],
                "previous": head.hash,
            }
            head.serial, head.hash = head.serial + 1, entry_hash(values)
            session.add(AuditRow(**values, hash=head.hash))
        heads.append(Head(tenant_id, head.serial, head.hash))
    session.flush()
    return heads
