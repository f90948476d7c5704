"""Replace an erased user's key by a pseudonym for the audit, and clear whatever could identify the user.

Guarantees: the same user of a tenant has the same pseudonym wherever the same secret key is in use, so that an erased
user's decisions still belong together; without that secret a pseudonym cannot be computed from a user id. Leaves to
:mod:`actors.warehouse.datasets` which columns are personal.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

from whisperer.ids import TenantId, UserKey

PSEUDONYM_PREFIX = "erased:"


class Pseudonyms:
    """Make pseudonyms.

    Parameters
    ----------
    key : a secret of the installation; b"" takes a random one, and pseudonyms of two processes then differ
    """

    def __init__(self, key: bytes = b"") -> None:
        # Derived, because the secret may sign other things too.
        self._key = hashlib.blake2b(key or secrets.token_bytes(32), digest_size=32, person=b"pseudonym").digest()

    def of(self, tenant: TenantId, user_key: UserKey) -> str:
        """Return the pseudonym of a user."""
        text = f"{tenant}\x1f{user_key}".encode("utf-8", "surrogatepass")
        return PSEUDONYM_PREFIX + hashlib.blake2b(text, digest_size=16, key=self._key).hexdigest()

    def put(self, table: pa.Table, erased: pa.Array, tenant: TenantId, personal: Iterable[str]) -> pa.Table:
        """Return the table with pseudonyms, and nulls in ``personal`` columns, where ``erased`` (bool[n]) is true."""
        if not pc.any(erased).as_py():
            return table
        keys = table["user_key"].combine_chunks()
        masked = pa.array([self.of(tenant, key) for key in keys.filter(erased).to_pylist()], keys.type)
        table = _replaced(table, "user_key", pc.replace_with_mask(keys, erased, masked))
        for name in personal:
            column = table[name].combine_chunks()
            table = _replaced(table, name, pc.if_else(erased, pa.scalar(None, column.type), column))
        return table


def _replaced(table: pa.Table, name: str, column: pa.Array) -> pa.Table:
    at = table.schema.get_field_index(name)
    return table.set_column(at, table.schema.field(at), column)
