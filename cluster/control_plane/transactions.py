"""Runs transactions on the control plane's database, and holds what all its resources share.

Every change increments :meth:`Transactions.version` in its own transaction, so a reader that sees an unchanged number
may keep its cache, and one that sees a new number sees the change too; :meth:`Transactions.changes_since` says which
tenant changed. Methods block; an event loop calls them in a thread. Safe from several processes and threads. A busy or
unreachable database raises UnavailableError: the caller may retry, and a transaction under way did not happen.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event, select, update
from sqlalchemy.orm import Session

from cluster.control_plane.audit.chain import Head, append
from cluster.control_plane.audit.entries import Entry, Written
from cluster.control_plane.audit.witness import Witness
from cluster.control_plane.changes import Changes, read_since, write_down
from cluster.control_plane.database import writing
from cluster.control_plane.models import MetaRow, TenantRow
from cluster.control_plane.reach import Reach
from whisperer.errors import ConflictError, NotFoundError, RequestError

ID_PREFIX = "tn_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_SHOWN_CHARS = 80


class Transactions:
    """Base class of the resources' classes."""

    _engine: Engine
    _witness: Witness
    _reach_to_read: Reach
    _reach_to_write: Reach
    """Apart, because a SQLite file that another process writes can be read."""

    def version(self) -> int:
        """Return the change counter: equal numbers mean that nothing changed in between."""
        with self._reading() as session:
            return session.scalars(select(MetaRow.version)).one()

    def changes_since(self, version: int) -> Changes:
        """Return what changed after a version, read in one transaction; -1 for a reader that has nothing yet."""
        with self._reading() as session:
            return read_since(session, version)

    @contextmanager
    def _reading(self) -> Iterator[Session]:
        with self._reach_to_read.asking(), Session(self._engine) as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        """Run a transaction that may change rows; if it did, increment the version counter, and record what changed and
        who did it.
        """
        heads: list[Head] = []
        with self._noting() as session:
            written = Written()
            event.listen(session, "after_flush", written.note)
            yield session
            session.flush()
            event.remove(session, "after_flush", written.note)
            if written.rows:
                session.execute(update(MetaRow).values(version=MetaRow.version + 1))
                write_down(session, written.rows)
                heads = append(session, written.entries(), now_ms())
        self._witness.note(heads)

    def note_in_audit_log(self, entries: Iterable[Entry]) -> None:
        """Enter in the audit log what changed no row, such as that a person looked at a user."""
        with self._noting() as session:
            # Of several that append, one waits: the version counter is the lock, whose value stays the same.
            session.execute(update(MetaRow).values(version=MetaRow.version))
            heads = append(session, entries, now_ms())
        self._witness.note(heads)

    @contextmanager
    def _noting(self) -> Iterator[Session]:
        """Run a transaction whose changes are not configuration: the version stays the same."""
        with self._reach_to_write.asking(), writing(self._engine) as connection, Session(connection) as session:
            yield session
            session.flush()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def check_name(name: str, what: str) -> None:
    """Check a name that a caller chose. Raises RequestError (`invalid_name`)."""
    if not _NAME.fullmatch(name):
        shown = name if len(name) <= _SHOWN_CHARS else name[:_SHOWN_CHARS] + "…"
        raise RequestError(
            f"{what} name {shown!r} is not usable: 1 to 63 letters, digits, '-', '_' or '.', starting with a letter or "
            "digit",
            code="invalid_name",
        )


def find_tenant(session: Session, name_or_id: str) -> TenantRow:
    """Return a tenant's row. Raises NotFoundError (`tenant_not_found`)."""
    column = TenantRow.id if name_or_id.startswith(ID_PREFIX) else TenantRow.folded_name
    value = name_or_id if name_or_id.startswith(ID_PREFIX) else name_or_id.lower()
    row = session.scalars(select(TenantRow).where(column == value)).one_or_none()
    if row is None:
        raise NotFoundError(f"there is no tenant {name_or_id[:_SHOWN_CHARS]!r}", code="tenant_not_found")
    return row


def locked_tenant(session: Session, name_or_id: str) -> TenantRow:
    """Return a tenant's row, locked until the transaction ends: of two that count the tenant's rows, one waits.

    Raises NotFoundError (`tenant_not_found`).
    """
    row = find_tenant(session, name_or_id)
    session.refresh(row, with_for_update={"key_share": True})  # rows that refer to the tenant can still be added
    return row


def home_of(session: Session, name_or_id: str) -> TenantRow:
    """Return the tenant to which an environment belongs, or the tenant itself: members, roles and settings are there.

    Raises NotFoundError (`tenant_not_found`).
    """
    row = find_tenant(session, name_or_id)
    return row if row.environment_of is None else session.get_one(TenantRow, row.environment_of)


def changed_home(session: Session, name_or_id: str) -> TenantRow:
    """Return a tenant, locked, whose members, roles or settings are about to change.

    Raises NotFoundError (`tenant_not_found`), and ConflictError (`belongs_to_tenant`) for an environment: what may be
    done in one does not reach the others.
    """
    row = locked_tenant(session, name_or_id)
    if row.environment_of is not None:
        owner = session.get_one(TenantRow, row.environment_of).name
        raise ConflictError(
            f"{row.name} is an environment: its members, roles and settings are those of {owner}, changed there",
            code="belongs_to_tenant",
        )
    return row
