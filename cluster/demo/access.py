"""Define what the record of an installation keeps of its demo."""

from __future__ import annotations

import msgspec

from whisperer.ids import TenantId


class DemoAccess(msgspec.Struct, frozen=True):
    """The demo's tenant and its keys.

    Kept readable because the demo's page shows the write key and its simulator reads the sink with the secret one.
    """

    tenant: str
    tenant_id: TenantId
    write_key: str
    secret_key: str = ""
