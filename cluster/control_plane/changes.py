"""Records what changed between two versions: which tenant, and which key.

Each version of the control plane is stored with what it concerned, in the transaction that raised it. A reader with a
cache asks what changed since its version and drops only that, so a change of one tenant costs the others nothing. The
newest :data:`KEPT_VERSIONS` versions are kept; a reader whose version is older, or was never recorded, drops
everything. What concerns a person concerns the tenants that they are a member of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from cluster.control_plane.models import (
    ApiKeyRow,
    Base,
    ChangeRow,
    MembershipRow,
    MetaRow,
    PersonRow,
    RecoveryCodeRow,
    TenantRow,
    TokenFamilyRow,
)
from whisperer.ids import TenantId

KEPT_VERSIONS = 10_000
EVERY_KEY = "*"
"""Marks a change of the tenant itself, which affects all its keys: a key's record includes the tenant's name."""
NOBODY = TenantId("-")
"""Stands for the tenant where a version concerns none, such as that of a person who is a member of nothing yet."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What to drop from a cache.

    Attributes
    ----------
    version : the current version
    everything : the lists below are incomplete, so drop everything
    tenants : ids
    keys : hashes of keys that were made, revoked or changed
    all_keys_of : ids of tenants
    """

    version: int
    everything: bool = False
    tenants: frozenset[TenantId] = field(default_factory=frozenset)
    keys: frozenset[str] = field(default_factory=frozenset)
    all_keys_of: frozenset[TenantId] = field(default_factory=frozenset)


def concerned(session: Session, rows: Iterable[Base]) -> set[tuple[TenantId, str]]:
    """Return (tenant id, key hash, :data:`EVERY_KEY` or "") for each written row."""
    found: set[tuple[TenantId, str]] = set()
    for row in rows:
        if isinstance(row, TenantRow):
            found.add((row.id, EVERY_KEY))
        elif isinstance(row, ApiKeyRow):
            found.add((row.tenant_id, row.hash))
        elif isinstance(row, PersonRow):
            found |= _of_person(session, row.id)
        elif isinstance(row, RecoveryCodeRow):
            found |= _of_person(session, row.person_id)
        elif isinstance(row, TokenFamilyRow) and row.tenant_id is None:
            found |= _of_person(session, row.person_id or "")
        else:
            found.add((getattr(row, "tenant_id", TenantId("")), ""))
    return found


def _of_person(session: Session, person_id: str) -> set[tuple[TenantId, str]]:
    of_person = select(MembershipRow.tenant_id).where(MembershipRow.person_id == person_id)
    return {(tenant_id, "") for tenant_id in session.scalars(of_person)} or {(NOBODY, "")}


def write_down(session: Session, rows: Iterable[Base]) -> None:
    """Record what the version just raised by this transaction concerns."""
    version = session.scalars(select(MetaRow.version)).one()
    for number, (tenant_id, key) in enumerate(sorted(concerned(session, rows))):
        session.add(ChangeRow(version=version, number=number, tenant_id=tenant_id, key=key))
    session.execute(delete(ChangeRow).where(ChangeRow.version <= version - KEPT_VERSIONS))


def read_since(session: Session, version: int) -> Changes:
    """Return what changed after ``version``; -1 for a reader that has nothing yet."""
    now = session.scalars(select(MetaRow.version)).one()
    if now == version:
        return Changes(now)
    since = ChangeRow.version > version
    n_versions = session.scalars(select(func.count(ChangeRow.version.distinct())).where(since)).one()
    rows = session.execute(select(ChangeRow.tenant_id, ChangeRow.key).where(since)).all()
    if version < 0 or n_versions != now - version or any(not tenant for tenant, _ in rows):
        return Changes(now, everything=True)
    return Changes(
        now,
        tenants=frozenset(tenant for tenant, _ in rows if tenant != NOBODY),
        keys=frozenset(key for _, key in rows if key not in ("", EVERY_KEY)),
        all_keys_of=frozenset(tenant for tenant, key in rows if key == EVERY_KEY),
    )
