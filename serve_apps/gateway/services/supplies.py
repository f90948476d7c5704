"""Takes uploads of items and codes: read and stored as a whole in a thread, one at a time a replica.

Reading 50,000 items takes about a second of the interpreter, which this process's other threads need too.
"""

from __future__ import annotations

import asyncio

from cluster.control_plane.catalogues import MAX_ITEMS, Uploaded
from cluster.control_plane.code_upload import read_codes
from cluster.control_plane.coupons import MAX_UPLOADED
from cluster.control_plane.supply_documents import CodesDocument, RepeatedCode
from serve_apps.gateway.services.parts import Parts
from whisperer.content.catalogue.upload import read_items
from whisperer.ids import TenantId

MOST_SHOWN = 100


async def upload_items(
    parts: Parts, tenant: TenantId, name: str, body: bytes, media_type: str, *, replace: bool
) -> Uploaded:
    """Write the items of an upload, all or none. Raises ItemsError, NotFoundError and ConflictError."""

    def upload() -> Uploaded:
        fields = parts.plane.get_catalogue(tenant, name).fields
        items = read_items(fields, body, media_type, MAX_ITEMS)
        return parts.plane.upload_items(tenant, name, fields, items, replace=replace)

    async with parts.uploading:
        return await asyncio.to_thread(upload)


async def upload_codes(parts: Parts, tenant: TenantId, name: str, body: bytes, media_type: str) -> CodesDocument:
    """Add the codes of an upload, all or none. Raises ItemsError, NotFoundError and ConflictError."""

    def upload() -> CodesDocument:
        codes = read_codes(body, media_type, MAX_UPLOADED)
        repeated = parts.plane.add_codes(tenant, name, [code for _, code in codes])
        return CodesDocument(
            n_added=len(codes) - len(repeated),
            n_repeated=len(repeated),
            n_left=parts.plane.get_pool(tenant, name).n_left,
            repeated=[RepeatedCode(*codes[place]) for place in repeated[:MOST_SHOWN]],
        )

    async with parts.uploading:
        return await asyncio.to_thread(upload)
