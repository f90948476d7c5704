"""Runs transactions on the control plane's database, and holds what all its resources share.

Every change increments :meth:`Transactions.version` in its own transaction, so a reader that sees an unchanged number
may keep its cache, and one that sees a new number sees the change too; :meth:`Transactions.changes_since` says which
tenant changed. Methods block; an event loop calls them in a thread. Safe from several processes and threads. A busy or
unreachable database raises UnavailableError: the caller may retry, and a transaction under way did not happen.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, event, select, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from cluster.control_plane.changes import Changes, read_since, write_down
from cluster.control_plane.database import writing
from cluster.control_plane.models import Base, MetaRow, TenantRow
from whisperer.errors import NotFoundError, RequestError, UnavailableError

ID_PREFIX = "tn_"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_SHOWN_CHARS = 80


class Transactions:
    """Base class of the resources' classes."""

    _engine: Engine

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
        with _answering(), Session(self._engine) as session:
            yield session

    @contextmanager
    def _writing(self) -> Iterator[Session]:
        """Run a transaction that may change rows; if it did, increment the version counter and record what changed."""
        with self._noting() as session:
            written: list[Base] = []

            def note(flushed: Session, _: object) -> None:
                written.extend([*flushed.new, *flushed.dirty, *flushed.deleted])

            event.listen(session, "after_flush", note)
            yield session
            session.flush()
            event.remove(session, "after_flush", note)
            if written:
                session.execute(update(MetaRow).values(version=MetaRow.version + 1))
                write_down(session, written)

    @contextmanager
    def _noting(self) -> Iterator[Session]:
        """Run a transaction whose changes are not configuration: the version stays the same."""
        with _answering(), writing(self._engine) as connection, Session(connection) as session:
            yield session
            session.flush()


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise UnavailableError("the control plane's database does not answer now", retry_after_s=1.0) from error


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
