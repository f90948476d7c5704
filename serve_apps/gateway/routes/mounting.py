"""Decides whose data a request may see, and mounts every resource in its two places."""

from collections.abc import Awaitable, Callable

from fastapi import Depends, FastAPI, Request

from serve_apps.gateway.http.permitted import marked
from serve_apps.gateway.routes import (
    analytics,
    audit,
    bulk,
    callbacks,
    campaigns,
    catalogues,
    channels,
    coupon_pools,
    decisions,
    deliveries,
    drafts,
    environments,
    experiment,
    exports,
    generator,
    inbox,
    invitations,
    issuers,
    keys,
    me,
    members,
    password_resets,
    policies,
    quality,
    reports,
    reviews,
    roles,
    segments,
    settings,
    simulations,
    sink,
    templates,
    translations,
    user_tokens,
    users,
)
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.access.user_tokens import PREFIX as USER_TOKEN
from whisperer.errors import NotFoundError
from whisperer.events.write_key import presented_key
from whisperer.ids import TenantId

RESOURCES = (
    decisions,
    user_tokens,
    inbox,
    users,
    bulk,
    segments,
    simulations,
    campaigns,
    templates,
    translations,
    catalogues,
    coupon_pools,
    channels,
    experiment,
    policies,
    reports,
    quality,
    analytics,
    keys,
    members,
    invitations,
    roles,
    environments,
    settings,
    generator,
    deliveries,
    sink,
    password_resets,
    issuers,
    drafts,
    reviews,
    exports,
    audit,
)
"""Routes are tried in this order: those requested hundreds of times a second come first."""


def mount(app: FastAPI, parts: Parts) -> None:
    """Mount every resource for tenants and for the operator, and what is reached with a token of its own."""

    def of_caller(permission: Permission, *, or_user: bool = False) -> Callable[..., Awaitable[TenantId]]:
        async def tenant(request: Request) -> TenantId:
            presented = presented_key(request.headers.get("authorization"), None)
            if or_user and presented is not None and presented.startswith(USER_TOKEN):
                return await of_user(parts, request, presented)
            return await parts.access.admit(request, await parts.access.principal(request), permission)

        return marked(tenant, permission)

    def of_path(permission: Permission, *, or_user: bool = False) -> Callable[..., Awaitable[TenantId]]:
        async def named(request: Request, tenant: str) -> TenantId:
            tenant_id = await tenant_named(parts, tenant)
            return await parts.access.admit(request, parts.access.operator_for(request, tenant_id), permission)

        return marked(named, permission)

    async def operator(request: Request) -> None:
        parts.access.operator(request.headers.get("authorization"))

    app.include_router(me.router(parts), prefix="/v1")
    exports.install(app, parts)
    callbacks.install(app, parts)
    for resource in RESOURCES:
        app.include_router(resource.router(parts, of_caller), prefix="/v1")
        app.include_router(
            resource.router(parts, of_path),
            prefix="/internal/tenants/{tenant}",
            dependencies=[Depends(operator)],  # these run first: strangers do not learn which tenants there are
            include_in_schema=False,
        )


async def of_user(parts: Parts, request: Request, presented: str) -> TenantId:
    """Let in a user with a token of their own to what the path says is theirs. Raises NotFoundError for another's, as
    for one that is not there."""
    token = await parts.user_tokens.user_of(presented)
    await parts.access.admit_user(request, token.tenant_id, token.user_id)
    named = str(request.path_params["user_id"])
    if named != token.user_id:
        raise NotFoundError(f"there is no user {named[:80]!r}", code="user_not_found")
    return token.tenant_id


async def tenant_named(parts: Parts, name_or_id: str) -> TenantId:
    """Return the id of a tenant. Raises NotFoundError."""
    if not any(name_or_id in pair for pair in parts.overview.tenants.items()):
        await parts.overview.reload()
    for tenant_id, name in parts.overview.tenants.items():
        if name_or_id in (tenant_id, name):
            return tenant_id
    raise NotFoundError(f"there is no tenant {name_or_id[:80]!r}; `whisperer tenant list` names them")
