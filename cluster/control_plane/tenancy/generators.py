"""Tenants' generators: which endpoint writes texts, and what it used by day.

Each environment has its own, as it has its own channels. What may be set is decided in
:mod:`whisperer.content.generation.settings`. The key is stored sealed; only the processes that ask models read it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec
from sqlalchemy import delete, update

from cluster.control_plane import etags
from cluster.control_plane.models import GeneratorRow, GeneratorUseRow
from cluster.control_plane.transactions import Transactions, find_tenant, locked_tenant, now_ms
from whisperer.content.generation.settings import GeneratorSettings, read_generator
from whisperer.errors import NotFoundError
from whisperer.ids import TenantId

KEEP_DAYS = 40
"""What was used longer ago is forgotten."""


@dataclass(frozen=True, slots=True)
class TenantGenerator:
    """A tenant's generator; ``changed_at`` is ms UTC."""

    settings: GeneratorSettings
    changed_at: int

    @property
    def etag(self) -> str:
        shown = msgspec.structs.replace(self.settings, api_key="")
        return etags.etag("generator", msgspec.json.encode(shown).decode(), self.changed_at)


class TenantsGenerators(Transactions):
    """Sets and reads tenants' generators."""

    def tenant_generator(self, tenant: str) -> TenantGenerator:
        """Return a tenant's generator. Raises NotFoundError (`generator_not_found`)."""
        with self._reading() as session:
            row = session.get(GeneratorRow, find_tenant(session, tenant).id)
            if row is None:
                raise _none()
            return _generator(row)

    def generator(self, tenant: str) -> GeneratorSettings | None:
        """Return the settings of a tenant's generator, None if it has none. Raises NotFoundError."""
        with self._reading() as session:
            row = session.get(GeneratorRow, find_tenant(session, tenant).id)
            return None if row is None else _generator(row).settings

    def set_generator(self, tenant: str, body: Any, *, if_match: str | None = None) -> TenantGenerator:
        """Set a tenant's generator; a key that is left out stays. Raises GeneratorError, StaleError, NotFoundError."""
        with self._writing() as session:
            owner = locked_tenant(session, tenant)
            row = session.get(GeneratorRow, owner.id)
            held = None if row is None else _generator(row)
            etags.check(if_match, None if held is None else held.etag)
            found = read_generator(body, None if held is None else held.settings)
            settings = msgspec.to_builtins(found)
            key = settings.pop("api_key") or None
            if row is None:
                row = GeneratorRow(tenant_id=owner.id, settings=settings, api_key=key, changed_at=now_ms())
                session.add(row)
            elif (row.settings, row.api_key) != (settings, key):
                row.settings, row.api_key, row.changed_at = settings, key, now_ms()
            session.flush()
            return _generator(row)

    def delete_generator(self, tenant: str, *, if_match: str | None = None) -> TenantGenerator:
        """Forget a tenant's generator and its key. Raises NotFoundError (`generator_not_found`) and StaleError."""
        with self._writing() as session:
            row = session.get(GeneratorRow, locked_tenant(session, tenant).id)
            if row is None:
                raise _none()
            gone = _generator(row)
            etags.check(if_match, gone.etag)
            session.delete(row)
            return gone

    def spend_generator_tokens(self, tenant_id: TenantId, day: int, tokens: int) -> int:
        """Add to a day's tokens (days since 1970, UTC), and return all that were spent on it.

        No change of the configuration. Raises NotFoundError for a tenant that is gone.
        """
        with self._noting() as session:
            owner = locked_tenant(session, tenant_id)
            of_day = GeneratorUseRow.tenant_id == owner.id, GeneratorUseRow.day == day
            row = session.get(GeneratorUseRow, (owner.id, day))
            if row is None:
                old = GeneratorUseRow.tenant_id == owner.id, GeneratorUseRow.day < day - KEEP_DAYS
                session.execute(delete(GeneratorUseRow).where(*old))
                session.add(GeneratorUseRow(tenant_id=owner.id, day=day, tokens=tokens))
                return tokens
            if tokens:
                session.execute(update(GeneratorUseRow).where(*of_day).values(tokens=GeneratorUseRow.tokens + tokens))
                session.refresh(row)
            return row.tokens


def _generator(row: GeneratorRow) -> TenantGenerator:
    found = msgspec.convert({**row.settings, "api_key": row.api_key or ""}, GeneratorSettings)
    return TenantGenerator(found, row.changed_at)


def _none() -> NotFoundError:
    return NotFoundError("no generator is set up: PUT one", code="generator_not_found")
