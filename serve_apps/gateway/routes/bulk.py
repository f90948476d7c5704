"""Many statements in one call: consent and erasure of users; templates, segments and campaigns. docs/api.md describes
them.

`/users/consent/bulk` rather than `/users/bulk/consent`, which is the consent of the user whose id is `bulk`.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from serve_apps.gateway.http.bulk import Results, carry_out, read_statements
from serve_apps.gateway.http.documented import JSON, PLACE, answered
from serve_apps.gateway.http.exchange import answer
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import Principal, principal_of
from serve_apps.gateway.routes import segments, templates
from serve_apps.gateway.routes.examples import CAMPAIGN
from serve_apps.gateway.routes.users import CONSENT_EXAMPLE, ERASED, ConsentBody
from serve_apps.gateway.services.creating import create_campaign, take_name, write_segment, write_template
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId
from whisperer.journeys.schema import EXAMPLE as DEFINITION

MOST_STATEMENTS = 1_000
MOST_ERASED = 100
MOST_CREATED = 100

_UserId = Annotated[str, msgspec.Meta(min_length=1)]


class UserConsent(ConsentBody, forbid_unknown_fields=True, kw_only=True):
    """A statement about one user, channel and purpose."""

    user_id: _UserId


class UserErasure(msgspec.Struct, forbid_unknown_fields=True):
    """A user who is to be erased for good."""

    user_id: _UserId


@dataclass(frozen=True, slots=True)
class Creation:
    """How many things of a kind are created. ``schema``, ``example``: of one body; ``shown``: of one answer."""

    needs: Permission
    write: Callable[..., Awaitable[Any]]
    schema: str
    example: dict[str, Any]
    shown: dict[str, Any]
    reaches_shards: bool = True


CREATIONS = {
    "templates": Creation(
        Permission.TEMPLATES_PUBLISH,
        write_template,
        "NewTemplate",
        {"name": "tips-email", **templates.EXAMPLE},
        templates.SHOWN,
        reaches_shards=False,
    ),
    "segments": Creation(
        Permission.SEGMENTS_PUBLISH,
        write_segment,
        "NewSegment",
        {"name": "regulars", **segments.EXAMPLE},
        segments.PUBLISHED,
    ),
    "campaigns": Creation(
        Permission.CAMPAIGNS_WRITE,
        create_campaign,
        "NewCampaign",
        {"name": "trial-welcome", "publish": True, **DEFINITION},
        CAMPAIGN,
    ),
}


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter()
    users: dict[str, Any] = {"tags": ["users"]}
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.USERS_WRITE))]
    Eraser = Annotated[TenantId, Depends(tenant_of(Permission.USERS_ERASE))]

    @routes.post(
        "/users/consent/bulk",
        summary=f"Record up to {MOST_STATEMENTS:,} statements about consent, each by itself",
        openapi_extra=_described("UserConsent", {"user_id": "u-17", **CONSENT_EXAMPLE}, MOST_STATEMENTS)
        | _answered(200, {"user_id": "u-17", **CONSENT_EXAMPLE}),
        **users,
    )
    async def state_consents(request: Request, tenant_id: Writer) -> Response:
        async def state(one: UserConsent) -> Any:
            return await parts.users.state_consent(
                tenant_id, one.user_id, one.channel, one.purpose, one.granted, one.source
            )

        stated = await read_statements(request, MOST_STATEMENTS)
        needed = Permission.USERS_WRITE
        return answer(
            await carry_out(request, parts.access, needed, stated, UserConsent, state, lambda one: one.user_id)
        )

    @routes.post(
        "/users/erase/bulk",
        summary=f"Erase up to {MOST_ERASED} users for good, each by itself",
        openapi_extra=_described("UserErasure", {"user_id": "u-17"}, MOST_ERASED) | _answered(200, ERASED),
        **users,
    )
    async def erase_users(request: Request, tenant_id: Eraser) -> Response:
        async def erase(one: UserErasure) -> Any:
            return await parts.users.erase(tenant_id, one.user_id)

        stated = await read_statements(request, MOST_ERASED)
        needed = Permission.USERS_ERASE
        return answer(
            await carry_out(request, parts.access, needed, stated, UserErasure, erase, lambda one: one.user_id)
        )

    for plural, creation in CREATIONS.items():
        _creating(routes, parts, tenant_of, plural, creation)
    return routes


def _creating(routes: APIRouter, parts: Parts, tenant_of: TenantOf, plural: str, creation: Creation) -> None:
    Creator = Annotated[TenantId, Depends(tenant_of(creation.needs))]

    @routes.post(
        f"/{plural}/bulk",
        summary=f"Create up to {MOST_CREATED} {plural}, each by itself",
        tags=[plural],
        name=f"create_{plural}",
        openapi_extra=_described(creation.schema, creation.example, MOST_CREATED) | _answered(201, creation.shown),
    )
    async def create(request: Request, tenant_id: Creator) -> Response:
        who: Principal = principal_of(request)

        async def write(body: dict[str, Any]) -> Any:
            rest = dict(body)
            return await creation.write(parts, who, take_name(rest), rest, brings=False)

        stated = await read_statements(request, MOST_CREATED)
        # One after another: the second of a name is its next version, and the database has one writer.
        done = await carry_out(
            request, parts.access, creation.needs, stated, dict[str, Any], write, lambda _: plural, status=201
        )
        if creation.reaches_shards and done.n_done:
            await parts.publishing.bring(tenant_id)
        return answer(done)


def _described(schema: str, example: dict[str, Any], most: int) -> dict[str, Any]:
    """Return the OpenAPI of a body of statements."""
    array = {"type": "array", "minItems": 1, "maxItems": most, "items": {"$ref": PLACE + schema}}
    said = "an array; or JSON Lines, one object a line, which need no other Content-Type"
    content = {JSON: {"schema": array, "example": [example]}}
    return {"requestBody": {"required": True, "description": said, "content": content}}


def _answered(status: int, example: dict[str, Any]) -> dict[str, Any]:
    result = {"index": 0, "status": status, "result": example}
    return answered(Results, {"n_done": 1, "n_refused": 0, "results": [result]})
