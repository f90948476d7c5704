"""Turns catalogues, items, coupon pools and codes into documents for callers and the command line.

Times are ISO 8601. Field order is the order of the JSON.
"""

from __future__ import annotations

from typing import Any

import msgspec

from cluster.control_plane.catalogues import Catalogue, CatalogueItem, Uploaded
from cluster.control_plane.coupons import CouponPool, GivenCode
from cluster.times import iso
from whisperer.ids import bare_id


class CatalogueDocument(msgspec.Struct, kw_only=True):
    """A catalogue without its items. ``fields``: field -> kind."""

    name: str
    fields: dict[str, str]
    n_items: int
    n_bytes: int
    created_at: str | None
    changed_at: str | None


class ItemDocument(msgspec.Struct, kw_only=True):
    """One item; ``values`` by field."""

    id: str
    values: dict[str, Any]
    changed_at: str | None


class DeletedDocument(msgspec.Struct, kw_only=True):
    """What was deleted."""

    name: str
    deleted: bool = True


class UploadDocument(msgspec.Struct, kw_only=True):
    """What an upload of items did, and how many there are now; items that were the same already count nowhere."""

    n_added: int
    n_changed: int
    n_removed: int
    n_items: int


class CouponPoolDocument(msgspec.Struct, kw_only=True):
    """A coupon pool. Codes that are left are never shown."""

    name: str
    description: str
    n_codes: int
    n_given: int
    n_left: int
    created_at: str | None
    changed_at: str | None


class RepeatedCode(msgspec.Struct):
    """A code of an upload that the pool had already, or that stood in an earlier line."""

    line: int
    code: str


class CodesDocument(msgspec.Struct, kw_only=True):
    """What an upload of codes did. ``repeated``: the first of those that were there before, which stay as they are."""

    n_added: int
    n_repeated: int
    n_left: int
    repeated: list[RepeatedCode]


class GivenDocument(msgspec.Struct, kw_only=True):
    """A code that was given. ``user_id`` is null once the user was erased."""

    code: str
    campaign: str
    user_id: str | None
    given_at: str | None


class CouponOfUser(msgspec.Struct, kw_only=True):
    """A code that a user was given."""

    pool: str
    code: str
    campaign: str
    given_at: str | None


def catalogue_document(catalogue: Catalogue) -> CatalogueDocument:
    return CatalogueDocument(
        name=catalogue.name,
        fields=catalogue.fields,
        n_items=catalogue.n_items,
        n_bytes=catalogue.n_bytes,
        created_at=iso(catalogue.created_at),
        changed_at=iso(catalogue.changed_at),
    )


def item_document(item: CatalogueItem) -> ItemDocument:
    return ItemDocument(id=item.id, values=item.values, changed_at=iso(item.changed_at))


def upload_document(done: Uploaded) -> UploadDocument:
    return UploadDocument(
        n_added=done.n_added, n_changed=done.n_changed, n_removed=done.n_removed, n_items=done.n_items
    )


def pool_document(pool: CouponPool) -> CouponPoolDocument:
    return CouponPoolDocument(
        name=pool.name,
        description=pool.description,
        n_codes=pool.n_codes,
        n_given=pool.n_given,
        n_left=pool.n_left,
        created_at=iso(pool.created_at),
        changed_at=iso(pool.changed_at),
    )


def given_document(given: GivenCode) -> GivenDocument:
    user_id = None if given.user_key is None else bare_id(given.user_key)
    return GivenDocument(code=given.code, campaign=given.campaign, user_id=user_id, given_at=iso(given.given_at))


def coupon_of_user(given: GivenCode) -> CouponOfUser:
    return CouponOfUser(pool=given.pool, code=given.code, campaign=given.campaign, given_at=iso(given.given_at))
