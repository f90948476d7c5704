"""Decides whose data a request may see, and mounts every resource in its two places."""

from fastapi import Depends, FastAPI, Request

from serve_apps.gateway.routes import (
    campaigns,
    channels,
    decisions,
    experiment,
    policies,
    segments,
    simulations,
    sink,
    templates,
    users,
)
from serve_apps.gateway.services.parts import Parts
from whisperer.errors import NotFoundError
from whisperer.ids import TenantId

RESOURCES = (decisions, users, segments, simulations, campaigns, templates, channels, experiment, policies, sink)
"""Routes are tried in this order: those requested hundreds of times a second come first."""


def mount(app: FastAPI, parts: Parts) -> None:
    """Mount every resource for tenants and for the operator."""

    async def tenant_of_key(request: Request) -> TenantId:
        return (await parts.access.secret(request.headers.get("authorization"))).tenant_id

    async def tenant_of_path(tenant: str) -> TenantId:
        return await tenant_named(parts, tenant)

    async def operator(request: Request) -> None:
        parts.access.operator(request.headers.get("authorization"))

    for resource in RESOURCES:
        app.include_router(resource.router(parts, tenant_of_key), prefix="/v1")
        app.include_router(
            resource.router(parts, tenant_of_path),
            prefix="/internal/tenants/{tenant}",
            dependencies=[Depends(operator)],  # these run first: strangers do not learn which tenants there are
            include_in_schema=False,
        )


async def tenant_named(parts: Parts, name_or_id: str) -> TenantId:
    """Return the id of a tenant. Raises NotFoundError."""
    if not any(name_or_id in pair for pair in parts.overview.tenants.items()):
        await parts.overview.reload()
    for tenant_id, name in parts.overview.tenants.items():
        if name_or_id in (tenant_id, name):
            return tenant_id
    raise NotFoundError(f"there is no tenant {name_or_id[:80]!r}; `whisperer tenant list` names them")
