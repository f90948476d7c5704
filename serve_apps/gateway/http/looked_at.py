"""Enters in the audit log that a person looked at data about somebody, before they see it.

Keys and the operator are programs, whose reads are not entered. A user is named by a pseudonym, which the
installation's secret makes from the id: whoever asks what was looked at of a user can make it again, and an erased
user's id does not stay here. What was searched for may be personal too, so only the names of parameters are kept.
"""

from __future__ import annotations

import hashlib

from starlette.requests import Request

from cluster.control_plane.audit.entries import Entry, Verb
from serve_apps.gateway.http.principal import Principal
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId

USER_ID = "user_id"


class Pseudonyms:
    """Names users in the audit log. ``secret`` is the installation's."""

    def __init__(self, secret: bytes) -> None:
        self._key = hashlib.blake2b(secret, digest_size=32, person=b"audit").digest()

    def of(self, tenant_id: TenantId, user_id: str) -> str:
        """Return the name of a user in the tenant's log."""
        text = f"{tenant_id}\x1f{user_id}".encode("utf-8", "surrogatepass")
        return "user:" + hashlib.blake2b(text, digest_size=16, key=self._key).hexdigest()


def entry(request: Request, principal: Principal, permission: Permission, pseudonyms: Pseudonyms) -> Entry:
    """Return the entry of a person's look at data about somebody."""
    named = dict(request.path_params)
    named.pop("tenant", None)
    user_id = named.pop(USER_ID, None) or request.query_params.get(USER_ID)
    if user_id is not None:
        resource_id = pseudonyms.of(principal.tenant_id, user_id)
    else:
        resource_id = "/".join(str(value) for value in named.values())
    parameters = sorted(set(request.query_params))[:100]
    after = {"parameters": [name[:100] for name in parameters]} if parameters else None
    return Entry(principal.tenant_id, Verb.READ, permission.partition(":")[0], resource_id, after=after)
