"""Holds who makes a request: a key, a person or the operator, for which tenant, with which permissions."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.requests import Request

from cluster.control_plane.audit.acting import Actor, ActorKind
from cluster.control_plane.granting import Giver
from whisperer.access.permissions import Permission, Permissions
from whisperer.errors import ForbiddenError
from whisperer.ids import TenantId


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls.

    Attributes
    ----------
    id, name : of the key or the person; the name is shown to people
    tenant_id : whose data the call is about; an environment has an id of its own
    sign_in : id of the token family or session that it comes of; "" for keys, operators and foreign tokens
    """

    kind: ActorKind
    id: str
    name: str
    tenant_id: TenantId
    permissions: Permissions
    sign_in: str = ""

    def require(self, permission: Permission) -> None:
        """Raise ForbiddenError unless the caller has the permission."""
        if permission not in self.permissions:
            raise ForbiddenError(
                f"this needs the permission {permission}, which {_described(self)} does not have", code="forbidden"
            )


def _described(principal: Principal) -> str:
    match principal.kind:
        case ActorKind.KEY:
            return f"the key {principal.id}"
        case ActorKind.PERSON:
            return f"{principal.name}'s role"
        case _:
            return "the caller"


def keep(request: Request, principal: Principal) -> None:
    """Remember who makes a request."""
    request.state.principal = principal


def principal_of(request: Request) -> Principal:
    """Return who makes a request that a dependency has let in."""
    found: Principal = request.state.principal
    return found


def is_user(request: Request) -> bool:
    """Return whether a request that a dependency has let in is made by a user, with a token of their own."""
    return principal_of(request).kind is ActorKind.NOBODY


def giver_of(request: Request) -> Giver:
    """Return who makes a request as one who gives permissions to others."""
    principal = principal_of(request)
    return Giver(principal.permissions, principal.id if principal.kind is ActorKind.KEY else "")


def actor(principal: Principal, operation: str, address: str | None, request_id: str) -> Actor:
    """Return the caller as the audit log names them."""
    return Actor(principal.kind, principal.id, principal.name, operation, address or "", request_id)
