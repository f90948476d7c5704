"""Reads the audit log, and checks that nobody has altered it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from cluster.control_plane.audit.chain import COLUMNS, START, Head, entry_hash
from cluster.control_plane.models import AuditHeadRow, AuditRow
from cluster.control_plane.transactions import Transactions, find_tenant
from whisperer.ids import TenantId

INSTALLATION = ""
"""The log of what concerns no single tenant."""
PAGE = 1_000
"""Entries read at a time."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry, as it is stored; ``at`` is ms UTC. :mod:`cluster.control_plane.audit` says what the rest means."""

    tenant_id: TenantId
    serial: int
    at: int
    actor_kind: str
    actor_id: str
    actor_name: str
    operation: str
    verb: str
    resource: str
    resource_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str
    request_id: str
    previous: str
    hash: str

    @property
    def head(self) -> Head:
        return Head(self.tenant_id, self.serial, self.hash)

    def row(self) -> dict[str, Any]:
        """Return what files have of it, whose log is not in doubt: ``at`` is ms UTC."""
        return {
            "serial": self.serial,
            "at": self.at,
            "actor": {"kind": self.actor_kind, "id": self.actor_id, "name": self.actor_name},
            "operation": self.operation,
            "verb": self.verb,
            "resource": self.resource,
            "resource_id": self.resource_id,
            "before": self.before,
            "after": self.after,
            "address": self.address,
            "request_id": self.request_id,
            "previous": self.previous,
            "hash": self.hash,
        }


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries are wanted; None: whatever it is. ``since`` and ``until`` are ms UTC, the latter not included."""

    actor: str | None = None
    """Id or name."""
    resource: str | None = None
    resource_id: str | None = None
    verb: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Broken:
    """Where a log does not hold together, and why."""

    serial: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found in a log.

    Attributes
    ----------
    n_entries, hash : entries read, and the hash of the last one
    n_witnessed : heads known from elsewhere that were compared
    broken : the first place that is not right, or None
    """

    tenant_id: TenantId
    n_entries: int
    hash: str
    n_witnessed: int
    broken: Broken | None


class AuditLog(Transactions):
    """Reads and verifies the audit log."""

    def audit_entries(
        self,
        tenant: str,
        query: AuditQuery = AuditQuery(),
        *,
        beyond: int | None = None,
        limit: int = 100,
        oldest_first: bool = False,
    ) -> list[AuditEntry]:
        """Return entries of a tenant (name or id; "" for the installation's), newest first unless told otherwise, and
        in that order behind the serial ``beyond``.
        """
        serial = AuditRow.serial
        with self._reading() as session:
            wanted = _matching(_log_of(session, tenant), query)
            if beyond is not None:
                wanted = wanted.where(serial > beyond if oldest_first else serial < beyond)
            ordered = wanted.order_by(serial.asc() if oldest_first else serial.desc()).limit(limit)
            return [_entry(row) for row in session.scalars(ordered)]

    def audit_entry(self, tenant: str, serial: int) -> AuditEntry | None:
        """Return one entry, or None."""
        with self._reading() as session:
            row = session.get(AuditRow, (_log_of(session, tenant), serial))
            return None if row is None else _entry(row)

    def audit_page(self, tenant: str, query: AuditQuery = AuditQuery(), *, after: int = 0) -> list[AuditEntry]:
        """Return the next :data:`PAGE` entries behind serial ``after``, oldest first; none at the end."""
        with self._reading() as session:
            wanted = _matching(_log_of(session, tenant), query).where(AuditRow.serial > after)
            return [_entry(row) for row in session.scalars(wanted.order_by(AuditRow.serial).limit(PAGE))]

    def audit_export(self, tenant: str, query: AuditQuery = AuditQuery()) -> Iterator[AuditEntry]:
        """Return all entries, oldest first, without holding more than a page of them."""
        after = 0
        while page := self.audit_page(tenant, query, after=after):
            yield from page
            after = page[-1].serial

    def audit_logs(self) -> list[TenantId]:
        """Return the ids of the tenants that have a log."""
        with self._reading() as session:
            return list(session.scalars(select(AuditHeadRow.tenant_id).order_by(AuditHeadRow.tenant_id)))

    def verify_audit(self, tenant: str, known: Iterable[Head] = (), *, resting: float = 0.0) -> Verification:
        """Check a log: every entry has its hash and follows the one before, the head is the last one, and every head
        that is known from elsewhere (``known`` and this machine's own notes) is in it.

        ``resting``: how long to rest for each second of work, in a process that has something else to do.
        """
        with self._reading() as session:
            log = _log_of(session, tenant)
            head = session.get(AuditHeadRow, log)
            end = Head(log, 0, START) if head is None else Head(log, head.serial, head.hash)
        witnessed: dict[int, set[str]] = {}
        for one in (*known, *self._witness.known()):
            if one.tenant_id == log:
                witnessed.setdefault(one.serial, set()).add(one.hash)
        last = Head(log, 0, START)
        began = time.monotonic()
        while page := self.audit_page(log, after=last.serial):
            for entry in page:
                if broken := _mistake(entry, last, witnessed.get(entry.serial, set())):
                    return Verification(log, last.serial, last.hash, len(witnessed), broken)
                last = entry.head
            time.sleep((time.monotonic() - began) * resting)
            began = time.monotonic()
        broken = None
        if last.serial < end.serial or (last.serial == end.serial and last.hash != end.hash):
            broken = Broken(last.serial + 1, f"the log ends at entry {last.serial}, but it had {end.serial}")
        elif later := [serial for serial in witnessed if serial > last.serial]:
            broken = Broken(last.serial + 1, f"the log ends at entry {last.serial}, but entry {max(later)} was seen")
        return Verification(log, last.serial, last.hash, len(witnessed), broken)


def _log_of(session: Session, tenant: str) -> TenantId:
    return TenantId(INSTALLATION) if tenant == INSTALLATION else find_tenant(session, tenant).id


def _matching(log: TenantId, query: AuditQuery) -> Select[AuditRow]:
    wanted = select(AuditRow).where(AuditRow.tenant_id == log)
    if query.actor is not None:
        wanted = wanted.where((AuditRow.actor_id == query.actor) | (AuditRow.actor_name == query.actor))
    if query.resource is not None:
        wanted = wanted.where(AuditRow.resource == query.resource)
    if query.resource_id is not None:
        wanted = wanted.where(AuditRow.resource_id == query.resource_id)
    if query.verb is not None:
        wanted = wanted.where(AuditRow.verb == query.verb)
    if query.since is not None:
        wanted = wanted.where(AuditRow.at >= query.since)
    if query.until is not None:
        wanted = wanted.where(AuditRow.at < query.until)
    return wanted


def _entry(row: AuditRow) -> AuditEntry:
    return AuditEntry(**{name: getattr(row, name) for name in COLUMNS}, hash=row.hash)


def _mistake(entry: AuditEntry, last: Head, seen: set[str]) -> Broken | None:
    if entry.serial != last.serial + 1:
        return Broken(last.serial + 1, f"entry {last.serial + 1} is missing")
    if entry.previous != last.hash:
        return Broken(entry.serial, f"entry {entry.serial} does not follow entry {last.serial}")
    if entry_hash({name: getattr(entry, name) for name in COLUMNS}) != entry.hash:
        return Broken(entry.serial, f"entry {entry.serial} was altered")
    if seen - {entry.hash}:
        return Broken(entry.serial, f"entry {entry.serial} is another one than was seen before")
    return None
