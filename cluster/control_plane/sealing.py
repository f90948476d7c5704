"""Brings every secret of the database under the key that seals now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import JSON, Column, ColumnElement, Delete, Text, Update, delete, select, type_coerce, update

from cluster.control_plane.audit.entries import Entry, Verb
from cluster.control_plane.keyring import Keyring, UnreadableSecretError
from cluster.control_plane.models import Base, PersonRow
from cluster.control_plane.models.sealed import SealedJson, SealedText
from cluster.control_plane.transactions import Transactions
from whisperer.ids import TenantId


class Sealing(Transactions):
    """Seals anew what was stored before there were keys, or under a key that is being replaced."""

    _keyring: Keyring

    def seal_again(self) -> int:
        """Seal every secret that the first key has not sealed; return how many there were.

        One transaction, which is no change of the configuration. Raises UnreadableSecretError for the first secret
        whose key is missing; nothing has happened then.
        """
        n_sealed = 0
        with self._noting() as session:
            dialect = session.get_bind().dialect
            for column, sealed, kind in _sealed_columns():
                keys = list(column.table.primary_key)
                rows = session.execute(select(*keys, type_coerce(column, kind)).where(column.isnot(None)))
                for *key, stored in rows.all():
                    if isinstance(stored, str) and self._keyring.is_current(stored):
                        continue
                    plain = sealed.process_result_value(stored, dialect)
                    where = [name == value for name, value in zip(keys, key, strict=True)]
                    session.execute(update(column.table).where(*where).values({column: plain}))
                    n_sealed += 1
        return n_sealed

    def forget_unreadable(self) -> list[str]:
        """Remove the secrets that no key opens, and return where they were, as table, column and row.

        Who had a second factor signs in without; tokens signed by a lost key end; a channel keeps its provider, and
        nothing is sent on it until it is set anew.
        """
        forgotten = []
        with self._noting() as session:
            dialect = session.get_bind().dialect
            for column, sealed, kind in _sealed_columns():
                keys = list(column.table.primary_key)
                rows = session.execute(select(*keys, type_coerce(column, kind)).where(column.isnot(None)))
                for *key, stored in rows.all():
                    try:
                        sealed.process_result_value(stored, dialect)
                    except UnreadableSecretError:
                        row = [name == value for name, value in zip(keys, key, strict=True)]
                        session.execute(_without(column, row))
                        forgotten.append((column, " ".join(map(str, key))))
            without = PersonRow.totp_secret.is_(None), PersonRow.totp_confirmed_at.isnot(None)
            session.execute(update(PersonRow).where(*without).values(totp_confirmed_at=None, totp_step=None))
        self.note_in_audit_log(
            Entry(TenantId(""), Verb.DID, column.table.name, of, None, {"what": "secret_forgotten", "of": column.name})
            for column, of in forgotten
        )
        return [f"{column.table.name}.{column.name} {of}" for column, of in forgotten]

    @property
    def key_ids(self) -> list[str]:
        """The ids of the keys, the one that seals first."""
        return self._keyring.ids

    def sealed_by(self) -> Counter[str]:
        """Return how many secrets each key has sealed, by its id; under "" those that are not sealed."""
        found: Counter[str] = Counter()
        with self._reading() as session:
            for column, _, kind in _sealed_columns():
                for stored in session.scalars(select(type_coerce(column, kind)).where(column.isnot(None))):
                    found[self._keyring.sealer(stored) if isinstance(stored, str) else ""] += 1
        return found


def _without(column: Column[Any], row: list[ColumnElement[bool]]) -> Update | Delete:
    """Return what removes one secret: the value, or the row that is nothing without it."""
    if column.nullable:
        return update(column.table).where(*row).values({column: None})
    if isinstance(column.type, SealedJson):
        return update(column.table).where(*row).values({column: {}})
    return delete(column.table).where(*row)


def _sealed_columns() -> Iterator[tuple[Column[Any], SealedText | SealedJson, Text | JSON]]:
    """Yield each sealed column with its type, and the type under which its stored form is read."""
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if isinstance(column.type, SealedText):
                yield column, column.type, Text()
            elif isinstance(column.type, SealedJson):
                yield column, column.type, JSON()
