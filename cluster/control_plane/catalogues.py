"""Catalogues: named sets of a tenant's items, such as products, that templates pick from.

What an item may hold is decided in ``whisperer/content/catalogue``, how many there may be here. Each call is one
transaction: an upload counts as a whole or not at all. The audit log has a change of one item with its values, and an
upload by its counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.orm import Session

from cluster.control_plane import etags
from cluster.control_plane.chunks import chunks
from cluster.control_plane.listing import Part, Place, rows_of
from cluster.control_plane.models import CatalogueItemRow, CatalogueRow
from cluster.control_plane.transactions import Transactions, check_name, find_tenant, locked_tenant, now_ms
from whisperer.content.catalogue.fields import (
    ID,
    CatalogueError,
    checked_fields,
    checked_id,
    checked_item,
    encoded_item,
)
from whisperer.errors import ConflictError, NotFoundError, Problem
from whisperer.ids import TenantId

MAX_CATALOGUES = 20
MAX_ITEMS = 50_000
MAX_BYTES = 16 << 20
"""Of one catalogue's items as JSON; an upload is no larger."""
MAX_TENANT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Catalogue:
    """A catalogue without its items; times are ms UTC, ``revision`` counts its changes."""

    name: str
    fields: dict[str, str]
    revision: int
    n_items: int
    n_bytes: int
    created_at: int
    changed_at: int

    @property
    def etag(self) -> str:
        return etags.etag("catalogue", self.name, self.created_at, self.revision)


@dataclass(frozen=True, slots=True)
class CatalogueItem:
    """One item; ``values`` by field, without its id."""

    id: str
    values: dict[str, Any]
    changed_at: int

    @property
    def etag(self) -> str:
        return etags.etag("item", self.id, repr(self.values))


@dataclass(frozen=True, slots=True)
class Uploaded:
    """What an upload did, and how many items there are now."""

    n_added: int
    n_changed: int
    n_removed: int
    n_items: int


@dataclass(frozen=True, slots=True)
class LoadedCatalogue:
    """A catalogue with all its items, id -> JSON, as of one revision."""

    revision: int
    fields: dict[str, str]
    items: list[tuple[str, bytes]]


class Catalogues(Transactions):
    """Keeps catalogues and their items."""

    def put_catalogue(self, tenant: str, name: str, fields: object, if_match: str | None = None) -> Catalogue:
        """Make a catalogue, or add fields to one; a field that items may have keeps its kind.

        Raises CatalogueError, RequestError (`invalid_name`), StaleError and ConflictError (`too_many_catalogues`,
        `field_in_use`).
        """
        wanted = checked_fields(fields)
        check_name(name, "catalogue")
        with self._writing() as session:
            owner = locked_tenant(session, tenant)
            row = session.get(CatalogueRow, (owner.id, name))
            etags.check(if_match, None if row is None else _catalogue(row).etag)
            now = now_ms()
            if row is None:
                held = select(func.count()).where(CatalogueRow.tenant_id == owner.id)
                if session.scalars(held).one() >= MAX_CATALOGUES:
                    raise ConflictError(f"a tenant has at most {MAX_CATALOGUES} catalogues", code="too_many_catalogues")
                row = CatalogueRow(
                    tenant_id=owner.id,
                    name=name,
                    fields=wanted,
                    revision=1,
                    n_items=0,
                    n_bytes=0,
                    created_at=now,
                    changed_at=now,
                )
                session.add(row)
            elif wanted != row.fields:
                _check_kept(row, wanted)
                row.fields = wanted
                _changed(row, now)
            session.flush()
            return _catalogue(row)

    def list_catalogues(self, tenant: str) -> list[Catalogue]:
        """Return a tenant's catalogues by name."""
        with self._reading() as session:
            query = select(CatalogueRow).where(CatalogueRow.tenant_id == find_tenant(session, tenant).id)
            return [_catalogue(row) for row in session.scalars(query.order_by(CatalogueRow.name))]

    def get_catalogue(self, tenant: str, name: str) -> Catalogue:
        """Return a catalogue. Raises NotFoundError (`catalogue_not_found`)."""
        with self._reading() as session:
            return _catalogue(_found(session, find_tenant(session, tenant).id, name))

    def delete_catalogue(self, tenant: str, name: str, if_match: str | None = None) -> None:
        """Delete a catalogue with its items. Raises NotFoundError (`catalogue_not_found`) and StaleError."""
        with self._writing() as session:
            owner = locked_tenant(session, tenant)
            row = _found(session, owner.id, name)
            etags.check(if_match, _catalogue(row).etag)
            session.execute(delete(CatalogueItemRow).where(*_of(owner.id, name)))
            session.delete(row)

    def page_of_items(self, tenant: str, name: str, place: Place) -> Part[CatalogueItem]:
        """Return a part of a catalogue's items, by id or time. Raises NotFoundError (`catalogue_not_found`)."""
        with self._reading() as session:
            owner = find_tenant(session, tenant)
            _found(session, owner.id, name)
            query = select(CatalogueItemRow).where(*_of(owner.id, name))
            rows, last = rows_of(
                session, query, CatalogueItemRow.id, place, {"changed_at": CatalogueItemRow.changed_at}
            )
            return Part([_item(row[0]) for row in rows], last)

    def get_item(self, tenant: str, name: str, id: str) -> CatalogueItem:
        """Return an item. Raises NotFoundError (`catalogue_not_found`, `item_not_found`)."""
        with self._reading() as session:
            owner = find_tenant(session, tenant)
            _found(session, owner.id, name)
            return _item(_found_item(session, owner.id, name, id))

    def put_item(
        self, tenant: str, name: str, id: str, values: Mapping[str, Any], if_match: str | None = None
    ) -> CatalogueItem:
        """Write an item. Raises CatalogueError, NotFoundError (`catalogue_not_found`), StaleError and ConflictError
        (`catalogue_full`).
        """
        if checked_id(id) is None:
            raise CatalogueError(
                [_problem("/id", "an id has 1 to 128 printable characters, no slash, no space around")]
            )
        with self._writing() as session:
            owner = locked_tenant(session, tenant)
            catalogue = _found(session, owner.id, name)
            checked = checked_item(catalogue.fields, values)
            if isinstance(checked, str):
                raise CatalogueError([_problem("/values", checked)])
            text = encoded_item(id, checked)
            if text is None:
                raise CatalogueError([_problem("/values", "the item is too large")])
            row = session.get(CatalogueItemRow, (owner.id, name, id))
            etags.check(if_match, None if row is None else _item(row).etag)
            now, body = now_ms(), text.decode()
            if row is None:
                row = CatalogueItemRow(
                    tenant_id=owner.id, catalogue=name, id=id, body=body, n_bytes=len(text), changed_at=now
                )
                session.add(row)
                catalogue.n_items += 1
                catalogue.n_bytes += len(text)
            elif row.body != body:
                catalogue.n_bytes += len(text) - row.n_bytes
                row.body, row.n_bytes, row.changed_at = body, len(text), now
            else:
                return _item(row)
            _changed(catalogue, now)
            _check_room(session, catalogue)
            session.flush()
            return _item(row)

    def delete_item(self, tenant: str, name: str, id: str, if_match: str | None = None) -> None:
        """Delete an item. Raises NotFoundError (`catalogue_not_found`, `item_not_found`) and StaleError."""
        with self._writing() as session:
            owner = locked_tenant(session, tenant)
            catalogue = _found(session, owner.id, name)
            row = _found_item(session, owner.id, name, id)
            etags.check(if_match, _item(row).etag)
            session.delete(row)
            catalogue.n_items -= 1
            catalogue.n_bytes -= row.n_bytes
            _changed(catalogue, now_ms())

    def upload_items(
        self, tenant: str, name: str, read_by: Mapping[str, str], items: Mapping[str, bytes], *, replace: bool
    ) -> Uploaded:
        """Write items that were read by these fields, id -> JSON; ``replace``: and remove all others.

        Raises NotFoundError (`catalogue_not_found`) and ConflictError (`catalogue_full`, `catalogue_changed`).
        """
        with self._writing() as session:
            owner = locked_tenant(session, tenant)
            catalogue = _found(session, owner.id, name)
            if any(catalogue.fields.get(field) != kind for field, kind in read_by.items()):
                message = "the catalogue was made anew while the items were read; send them again"
                raise ConflictError(message, code="catalogue_changed")
            of_catalogue = _of(owner.id, name)
            query = select(CatalogueItemRow.id, CatalogueItemRow.body).where(*of_catalogue)
            held = {id: body.encode() for id, body in session.execute(query)}
            changed = {id: text for id, text in items.items() if held.get(id, b"") != text}
            removed = [id for id in held if id not in items] if replace else []
            n_added = sum(id not in held for id in changed)
            if changed or removed:
                now = now_ms()
                gone = [*removed, *(id for id in changed if id in held)]
                for some in chunks(gone):
                    session.execute(delete(CatalogueItemRow).where(*of_catalogue, CatalogueItemRow.id.in_(some)))
                if changed:
                    session.execute(insert(CatalogueItemRow), list(_rows(owner.id, name, changed, now)))
                catalogue.n_items += n_added - len(removed)
                catalogue.n_bytes += sum(map(len, changed.values())) - sum(len(held[id]) for id in gone)
                _changed(catalogue, now)
                _check_room(session, catalogue)
            return Uploaded(n_added, len(changed) - n_added, len(removed), catalogue.n_items)

    def catalogue_revision(self, tenant_id: TenantId, name: str) -> int | None:
        """Return the number of a catalogue's last change, greater after each; None if there is no such catalogue."""
        with self._reading() as session:
            found = session.execute(
                select(CatalogueRow.created_at, CatalogueRow.revision).where(
                    CatalogueRow.tenant_id == tenant_id, CatalogueRow.name == name
                )
            ).one_or_none()
            return None if found is None else _revision(*found)

    def load_catalogue(self, tenant_id: TenantId, name: str) -> LoadedCatalogue | None:
        """Return a catalogue with all its items; None if there is none."""
        with self._reading() as session:
            row = session.get(CatalogueRow, (tenant_id, name))
            if row is None:
                return None
            query = select(CatalogueItemRow.id, CatalogueItemRow.body).where(*_of(tenant_id, name))
            items = [(id, body.encode()) for id, body in session.execute(query)]
            return LoadedCatalogue(_revision(row.created_at, row.revision), dict(row.fields), items)


def fields_by_catalogue(session: Session, tenant_id: TenantId) -> dict[str, dict[str, str]]:
    """Return the fields of each of a tenant's catalogues."""
    query = select(CatalogueRow.name, CatalogueRow.fields).where(CatalogueRow.tenant_id == tenant_id)
    return {name: dict(fields) for name, fields in session.execute(query)}


def _revision(created_at: int, revision: int) -> int:
    """Return one number: a catalogue that is made anew under an old name has a greater one."""
    return (created_at << 24) + revision


def _rows(tenant_id: TenantId, name: str, items: Mapping[str, bytes], now: int) -> Iterable[dict[str, Any]]:
    for id, text in items.items():
        yield {
            "tenant_id": tenant_id,
            "catalogue": name,
            "id": id,
            "body": text.decode(),
            "n_bytes": len(text),
            "changed_at": now,
        }


def _of(tenant_id: TenantId, name: str) -> tuple[ColumnElement[bool], ...]:
    return CatalogueItemRow.tenant_id == tenant_id, CatalogueItemRow.catalogue == name


def _changed(row: CatalogueRow, now: int) -> None:
    row.revision += 1
    row.changed_at = now


def _check_kept(row: CatalogueRow, wanted: Mapping[str, str]) -> None:
    lost = [name for name, kind in row.fields.items() if wanted.get(name) != kind]
    if lost and row.n_items:
        raise ConflictError(
            f"items may have {', '.join(lost[:10])}: a field keeps its kind while there are items; delete them, or "
            "take a new name",
            code="field_in_use",
        )


def _check_room(session: Session, row: CatalogueRow) -> None:
    others = select(func.coalesce(func.sum(CatalogueRow.n_bytes), 0)).where(
        CatalogueRow.tenant_id == row.tenant_id, CatalogueRow.name != row.name
    )
    full = ""
    if row.n_items > MAX_ITEMS:
        full = f"a catalogue has at most {MAX_ITEMS:,} items"
    elif row.n_bytes > MAX_BYTES:
        full = f"a catalogue has at most {MAX_BYTES >> 20} MB of items"
    elif session.scalars(others).one() + row.n_bytes > MAX_TENANT_BYTES:
        full = f"a tenant's catalogues have at most {MAX_TENANT_BYTES >> 20} MB of items together"
    if full:
        raise ConflictError(full, code="catalogue_full")


def _found(session: Session, tenant_id: TenantId, name: str) -> CatalogueRow:
    row = session.get(CatalogueRow, (tenant_id, name)) if "\x00" not in name else None
    if row is None:
        raise NotFoundError(f"there is no catalogue {name[:80]!r}", code="catalogue_not_found")
    return row


def _found_item(session: Session, tenant_id: TenantId, name: str, id: str) -> CatalogueItemRow:
    row = session.get(CatalogueItemRow, (tenant_id, name, id)) if "\x00" not in id else None
    if row is None:
        raise NotFoundError(f"catalogue {name!r} has no item {id[:80]!r}", code="item_not_found")
    return row


def _catalogue(row: CatalogueRow) -> Catalogue:
    return Catalogue(row.name, dict(row.fields), row.revision, row.n_items, row.n_bytes, row.created_at, row.changed_at)


def _item(row: CatalogueItemRow) -> CatalogueItem:
    values = msgspec.json.decode(row.body)
    values.pop(ID, None)
    return CatalogueItem(row.id, values, row.changed_at)


def _problem(pointer: str, message: str) -> Problem:
    return Problem(pointer=pointer, code="invalid_item", message=message)
