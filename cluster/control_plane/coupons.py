"""Coupon codes: pools of codes, of which each is given to one user, and a user has one of a pool for each campaign.

Guarantees: whoever asks again for the same pool, campaign and user gets the same code, however often, from whichever
process, and whatever was killed in between: a code is taken in one transaction, and the database itself refuses a
second one. Codes are given in the order in which they came. A code that was given stays given; of an erased user
nothing is left with it. Giving codes changes no configuration, so the control plane's version stays the same.
Leaves to others: what a message does with a code, and who may see them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import ColumnElement, bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from cluster.control_plane import etags
from cluster.control_plane.chunks import chunks
from cluster.control_plane.listing import Part, Place, rows_of
from cluster.control_plane.models import CouponCodeRow, CouponErasureRow, CouponPoolRow
from cluster.control_plane.transactions import Transactions, check_name, find_tenant, locked_tenant, now_ms
from whisperer.errors import ConflictError, NotFoundError
from whisperer.ids import TenantId, UserKey
from whisperer.vocabulary.reasons import Reason

MAX_POOLS = 50
MAX_CODES = 1_000_000
"""In one pool, given ones included."""
MAX_UPLOADED = 50_000
"""In one call."""
MAX_CODE_CHARS = 64
MAX_DESCRIPTION = 200
ERASED_MS = 60_000
"""For how long after an erasure a message that was already being made takes no code for that user."""

CODE_PATTERN = rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_CODE_CHARS - 1}}}"
is_code = re.compile(CODE_PATTERN).fullmatch
"""Codes have no character that HTML, JSON or an address would have to escape."""
_DELETED = 50_000
"""Codes deleted in one transaction: the database's other writers wait for it."""


@dataclass(frozen=True, slots=True)
class CouponPool:
    """A pool with its counts; times are ms UTC, ``code_chars`` is the length of its longest code."""

    name: str
    description: str
    n_codes: int
    n_given: int
    code_chars: int
    created_at: int
    changed_at: int

    @property
    def n_left(self) -> int:
        return self.n_codes - self.n_given

    @property
    def etag(self) -> str:
        return etags.etag("pool", self.name, self.description, self.created_at)


@dataclass(frozen=True, slots=True)
class GivenCode:
    """A code and what became of it. ``user_key`` is None once the user was erased."""

    pool: str
    code: str
    campaign: str
    user_key: UserKey | None
    given_at: int


class Ask(NamedTuple):
    """One message's wish for a code."""

    pool: str
    campaign: str
    user_key: UserKey


class CouponPools(Transactions):
    """Keeps pools, and gives their codes."""

    def put_pool(self, tenant: str, name: str, description: str = "", if_match: str | None = None) -> CouponPool:
        """Make a pool, or describe one otherwise. Raises RequestError (`invalid_name`), StaleError and ConflictError
        (`too_many_pools`).
        """
        check_name(name, "coupon pool")
        with self._writing() as session:
            owner = locked_tenant(session, tenant)
            row = session.get(CouponPoolRow, (owner.id, name))
            etags.check(if_match, None if row is None else _pool(row).etag)
            now = now_ms()
            if row is None:
                held = select(func.count()).where(CouponPoolRow.tenant_id == owner.id)
                if session.scalars(held).one() >= MAX_POOLS:
                    raise ConflictError(f"a tenant has at most {MAX_POOLS} coupon pools", code="too_many_pools")
                row = CouponPoolRow(
                    tenant_id=owner.id,
                    name=name,
                    description=description,
                    n_codes=0,
                    n_given=0,
                    code_chars=0,
                    created_at=now,
                    changed_at=now,
                )
                session.add(row)
            elif row.description != description:
                row.description, row.changed_at = description, now
            session.flush()
            return _pool(row)

    def list_pools(self, tenant: str) -> list[CouponPool]:
        """Return a tenant's pools by name."""
        with self._reading() as session:
            query = select(CouponPoolRow).where(CouponPoolRow.tenant_id == find_tenant(session, tenant).id)
            return [_pool(row) for row in session.scalars(query.order_by(CouponPoolRow.name))]

    def get_pool(self, tenant: str, name: str) -> CouponPool:
        """Return a pool. Raises NotFoundError (`pool_not_found`)."""
        with self._reading() as session:
            return _pool(_found(session, find_tenant(session, tenant).id, name))

    def delete_pool(self, tenant: str, name: str, if_match: str | None = None) -> None:
        """Delete a pool with its codes, and with who got which. Raises NotFoundError (`pool_not_found`) and StaleError.

        A large one is deleted in several transactions. If that is interrupted, a part of it is left; repeat the call.
        """
        while True:
            with self._noting() as session:
                owner = find_tenant(session, tenant)
                etags.check(if_match, _pool(_found(session, owner.id, name)).etag)
                if not _delete_some(session, owner.id, name):
                    break
        with self._writing() as session:
            session.execute(delete(CouponCodeRow).where(*_of(owner.id, name)))
            session.delete(_found(session, owner.id, name))

    def add_codes(self, tenant: str, name: str, codes: Sequence[str]) -> list[int]:
        """Add codes, each of the pattern above, and return the places of those that were there already or earlier.

        These are left as they are. Raises NotFoundError (`pool_not_found`) and ConflictError (`pool_full`).
        """
        with self._writing() as session:
            owner = locked_tenant(session, tenant)
            row = _found(session, owner.id, name)
            of_pool = _of(owner.id, name)
            held: set[str] = set()
            for some in chunks(codes):
                held |= set(session.scalars(select(CouponCodeRow.code).where(*of_pool, CouponCodeRow.code.in_(some))))
            new: dict[str, None] = {}
            repeated = []
            for place, code in enumerate(codes):
                if code in held or code in new:
                    repeated.append(place)
                else:
                    new[code] = None
            if not new:
                return repeated
            if row.n_codes + len(new) > MAX_CODES:
                raise ConflictError(f"a coupon pool has at most {MAX_CODES:,} codes", code="pool_full")
            base = dict(tenant_id=owner.id, pool=name)
            # Codes are never taken out of a pool one by one, so that numbers follow one another.
            rows = [{**base, "code": code, "number": number} for number, code in enumerate(new, row.n_codes)]
            session.execute(insert(CouponCodeRow), rows)
            row.n_codes += len(new)
            row.code_chars = max(row.code_chars, *map(len, new))
            row.changed_at = now_ms()
            return repeated

    def page_of_given(
        self,
        tenant: str,
        name: str,
        place: Place,
        *,
        campaign: str | None = None,
        user_keys: Collection[UserKey] | None = None,
    ) -> Part[GivenCode]:
        """Return a part of the codes that were given, by time or code. Raises NotFoundError (`pool_not_found`)."""
        with self._reading() as session:
            owner = find_tenant(session, tenant)
            _found(session, owner.id, name)
            query = select(CouponCodeRow).where(*_of(owner.id, name), CouponCodeRow.given_at.is_not(None))
            if campaign is not None:
                query = query.where(CouponCodeRow.campaign == campaign.replace("\x00", ""))
            if user_keys is not None:
                query = query.where(CouponCodeRow.user_hash.in_(_hashes(owner.id, user_keys)))
            rows, last = rows_of(session, query, CouponCodeRow.code, place, {"given_at": CouponCodeRow.given_at})
            return Part([_given(row[0]) for row in rows], last)

    def codes_of(self, tenant: str, user_keys: Collection[UserKey]) -> list[GivenCode]:
        """Return the codes that a user was given, under any of these keys."""
        with self._reading() as session:
            owner = find_tenant(session, tenant)
            query = select(CouponCodeRow).where(
                CouponCodeRow.tenant_id == owner.id, CouponCodeRow.user_hash.in_(_hashes(owner.id, user_keys))
            )
            return [_given(row) for row in session.scalars(query.order_by(CouponCodeRow.given_at, CouponCodeRow.code))]

    def code_lengths(self, tenant_id: TenantId) -> dict[str, int]:
        """Return the length of the longest code of each of a tenant's pools."""
        with self._reading() as session:
            query = select(CouponPoolRow.name, CouponPoolRow.code_chars).where(CouponPoolRow.tenant_id == tenant_id)
            return {name: chars for name, chars in session.execute(query)}

    def give_codes(self, tenant_id: TenantId, asks: Iterable[Ask], now: int) -> dict[Ask, str | Reason]:
        """Return the code of each user for a pool and campaign, given now if there was none, or why there is none."""
        wanted = list(dict.fromkeys(asks))
        if not wanted:
            return {}
        with self._noting() as session:
            hashes = {ask: _hash(tenant_id, ask.user_key) for ask in wanted}
            found: dict[Ask, str | Reason] = dict(_held(session, tenant_id, wanted, hashes))
            erased = _erased(session, tenant_id, set(hashes.values()), now)
            found |= {ask: Reason.ERASED for ask in wanted if ask not in found and hashes[ask] in erased}
            for pool in dict.fromkeys(ask.pool for ask in wanted):
                asking = [ask for ask in wanted if ask.pool == pool and ask not in found]
                found |= _give(session, tenant_id, pool, asking, hashes, now)
            return found

    def forget_coupons(self, tenant_id: TenantId, user_keys: Collection[UserKey], now: int) -> None:
        """Remove a user from the codes that they were given; for a minute they are given no other."""
        with self._reading() as session:
            if session.scalars(select(CouponPoolRow.name).where(CouponPoolRow.tenant_id == tenant_id)).first() is None:
                return
        hashes = _hashes(tenant_id, user_keys)
        with self._noting() as session:
            of_user = CouponCodeRow.tenant_id == tenant_id, CouponCodeRow.user_hash.in_(hashes)
            session.execute(update(CouponCodeRow).where(*of_user).values(user_hash=None, user_key=None))
            mine = CouponErasureRow.user_hash.in_(hashes)
            session.execute(
                delete(CouponErasureRow).where(
                    CouponErasureRow.tenant_id == tenant_id, mine | (CouponErasureRow.until <= now)
                )
            )
            rows = [{"tenant_id": tenant_id, "user_hash": one, "until": now + ERASED_MS} for one in sorted(set(hashes))]
            session.execute(insert(CouponErasureRow), rows)


def _delete_some(session: Session, tenant_id: TenantId, name: str) -> bool:
    """Delete some codes of a large pool; return False if what is left can go in one transaction."""
    of_pool = _of(tenant_id, name)
    last = session.scalar(select(CouponCodeRow.code).where(*of_pool).order_by(CouponCodeRow.code).offset(_DELETED))
    if last is None:
        return False
    session.execute(delete(CouponCodeRow).where(*of_pool, CouponCodeRow.code < last))
    n_codes = select(func.count()).where(*of_pool).scalar_subquery()
    n_given = select(func.count()).where(*of_pool, CouponCodeRow.given_at.is_not(None)).scalar_subquery()
    row = CouponPoolRow.tenant_id == tenant_id, CouponPoolRow.name == name
    session.execute(update(CouponPoolRow).where(*row).values(n_codes=n_codes, n_given=n_given))
    return True


def left_by_pool(session: Session, tenant_id: TenantId) -> dict[str, int]:
    """Return how many codes are left in each of a tenant's pools."""
    left = CouponPoolRow.n_codes - CouponPoolRow.n_given
    query = select(CouponPoolRow.name, left).where(CouponPoolRow.tenant_id == tenant_id)
    return {name: n_left for name, n_left in session.execute(query)}


def _held(
    session: Session, tenant_id: TenantId, asks: Sequence[Ask], hashes: dict[Ask, str]
) -> Iterable[tuple[Ask, str]]:
    """Yield the codes that were given before."""
    by_place = {(ask.pool, ask.campaign, hashes[ask]): ask for ask in asks}
    for some in chunks(sorted(set(hashes.values()))):
        query = select(CouponCodeRow.pool, CouponCodeRow.campaign, CouponCodeRow.user_hash, CouponCodeRow.code).where(
            CouponCodeRow.tenant_id == tenant_id, CouponCodeRow.user_hash.in_(some)
        )
        for pool, campaign, user, code in session.execute(query):
            ask = by_place.get((pool, campaign or "", user or ""))
            if ask is not None:
                yield ask, code


def _erased(session: Session, tenant_id: TenantId, hashes: set[str], now: int) -> set[str]:
    query = select(CouponErasureRow.user_hash).where(
        CouponErasureRow.tenant_id == tenant_id, CouponErasureRow.until > now
    )
    return hashes & set(session.scalars(query.where(CouponErasureRow.user_hash.in_(sorted(hashes)))))


def _give(
    session: Session, tenant_id: TenantId, pool: str, asks: Sequence[Ask], hashes: dict[Ask, str], now: int
) -> dict[Ask, str | Reason]:
    """Take the next codes of a pool. Writers of the control plane queue, so nobody else takes them meanwhile."""
    left = select(CouponCodeRow.code).where(*_of(tenant_id, pool), CouponCodeRow.given_at.is_(None))
    codes = session.scalars(left.order_by(CouponCodeRow.number).limit(len(asks))).all()
    found: dict[Ask, str | Reason] = dict.fromkeys(asks, Reason.COUPONS_EXHAUSTED)
    taken = [
        {
            "the_code": code,
            "campaign": ask.campaign,
            "user_hash": hashes[ask],
            "user_key": ask.user_key.encode("utf-8", "surrogatepass"),
            "given_at": now,
        }
        for ask, code in zip(asks, codes, strict=False)
    ]
    found |= dict(zip(asks, codes, strict=False))
    if taken:
        # Statements of the table, not of the mapped class: many rows go in one call of the driver.
        columns = CouponCodeRow.__table__.c
        mine = columns.tenant_id == tenant_id, columns.pool == pool, columns.code == bindparam("the_code")
        session.connection().execute(update(CouponCodeRow.__table__).where(*mine), taken)  # type: ignore[arg-type]
        counted = CouponPoolRow.n_given + len(codes)
        of_pool = CouponPoolRow.tenant_id == tenant_id, CouponPoolRow.name == pool
        session.execute(update(CouponPoolRow).where(*of_pool).values(n_given=counted))
    return found


def _of(tenant_id: TenantId, pool: str) -> tuple[ColumnElement[bool], ...]:
    return CouponCodeRow.tenant_id == tenant_id, CouponCodeRow.pool == pool


def _hash(tenant_id: TenantId, key: UserKey) -> str:
    text = f"{tenant_id}\x1f{key}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16, person=b"coupon").hexdigest()


def _hashes(tenant_id: TenantId, keys: Iterable[UserKey]) -> list[str]:
    return [_hash(tenant_id, key) for key in keys]


def _found(session: Session, tenant_id: TenantId, name: str) -> CouponPoolRow:
    row = session.get(CouponPoolRow, (tenant_id, name)) if "\x00" not in name else None
    if row is None:
        raise NotFoundError(f"there is no coupon pool {name[:80]!r}", code="pool_not_found")
    return row


def _pool(row: CouponPoolRow) -> CouponPool:
    return CouponPool(
        row.name, row.description, row.n_codes, row.n_given, row.code_chars, row.created_at, row.changed_at
    )


def _given(row: CouponCodeRow) -> GivenCode:
    key = None if row.user_key is None else UserKey(row.user_key.decode("utf-8", "surrogatepass"))
    return GivenCode(row.pool, row.code, row.campaign or "", key, row.given_at or 0)
