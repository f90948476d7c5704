"""The users resource: lists of users; one person's state, export, erasure and consent.

One user is named by one segment of the path (:mod:`serve_apps.gateway.http.paths`) or by `?user_id=`, whatever the id
contains; never by both. The routes with `?user_id=` come first: without it, their path is that of a user.
"""

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from serve_apps.gateway.http.documented import answered, described, with_schema
from serve_apps.gateway.http.exchange import answer, read_as, streamed
from serve_apps.gateway.http.listing import Asked
from serve_apps.gateway.http.paging import Limit
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.schemas import schema_of
from serve_apps.gateway.routes.examples import EXPORT, INBOX_MESSAGE, PROFILE
from serve_apps.gateway.routes.inbox import NAMED as INBOX
from serve_apps.gateway.routes.inbox import UNCHANGED, KnownTags, inbox_page
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.profile import (
    PROFILE_FIELDS,
    ConsentStated,
    Erased,
    Exported,
    UserProfile,
    with_fields,
)
from serve_apps.gateway.services.user_list import UserPage
from serve_apps.gateway.services.user_query import FIELDS, SORTS, read_query
from whisperer.access.permissions import Permission
from whisperer.eligibility.rules import MARKETING
from whisperer.errors import RequestError
from whisperer.events.clock import instant
from whisperer.ids import TenantId
from whisperer.profiles.trait_texts import MAX_SOUGHT
from whisperer.vocabulary.channels import ChannelName

CONSENT_EXAMPLE = {"channel": "email", "purpose": "marketing", "granted": False, "source": "preference centre"}

LIST_EXAMPLE = {
    "data": [
        {
            "user_id": "u-17",
            "anonymous_id": None,
            "last_seen": "2026-01-31T09:12:44.120Z",
            "score": 0.25,
            "traits": {"email": "ann@example.com"},
        }
    ],
    "next_cursor": "pvyQ9mB1cM3v0kq7n2d1wJL_AMQGdTp1LTE3",
}
ERASED = {
    "user_id": "u-17",
    "erased": True,
    "note": "state is gone now; files follow within the retention (docs/identity.md)",
}
_LISTS = {"sort", "limit", "cursor", "fields"}
_SHOWS = {"user_id", "as_of", "timeline", "fields"}

_Purpose = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,62}|\*)$")]

UserId = Annotated[str, Query(min_length=1, description="Exactly this user, whatever the id contains")]
MaybeUserId = Annotated[
    str | None, Query(min_length=1, description="Exactly this user, as `/users/{user_id}`: no filters, no pages then")
]
AsOf = Annotated[
    str | None, Query(description="ISO 8601; features as of then", json_schema_extra={"format": "date-time"})
]
Timeline = Annotated[Literal["recent", "full"], Query(description="full: what was sent, also of old events")]


class UserExport(Exported, kw_only=True):
    """Everything held on a user: what was read of their state, and the stored rows as they are."""

    events: list[dict[str, Any]]
    decisions: list[dict[str, Any]]
    deliveries: list[dict[str, Any]]
    outcomes: list[dict[str, Any]]
    rewards: list[dict[str, Any]]


ProfileFields = Annotated[
    str | None,
    Query(
        description="these members only, separated by commas, and the id; without `timeline` it is the quickest",
        examples=["traits,segments,scores"],
    ),
]


class ConsentBody(msgspec.Struct, forbid_unknown_fields=True):
    """A user's statement about one channel and purpose; ``*`` means all of them."""

    channel: Literal[ChannelName, "*"]
    granted: bool
    purpose: _Purpose = MARKETING
    source: Annotated[str, msgspec.Meta(max_length=200)] = "api"


def _inbox_said() -> dict[str, Any]:
    said = INBOX.documented(INBOX_MESSAGE, unread=1)
    return said | {"responses": said["responses"] | UNCHANGED}


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["users"])
    Exporter = Annotated[TenantId, Depends(tenant_of(Permission.USERS_EXPORT))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.USERS_WRITE))]
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.USERS_READ))]
    Eraser = Annotated[TenantId, Depends(tenant_of(Permission.USERS_ERASE))]

    async def consent(tenant_id: TenantId, user_id: str, request: Request) -> Response:
        body = await read_as(request, ConsentBody)
        return answer(
            await parts.users.state_consent(tenant_id, user_id, body.channel, body.purpose, body.granted, body.source)
        )

    async def show(tenant_id: TenantId, user_id: str, as_of: str | None, timeline: str, fields: str | None) -> Response:
        chosen = None if fields is None else _profile_fields(fields)
        profile = await parts.users.show(
            tenant_id,
            user_id,
            _moment(as_of),
            full_timeline=timeline == "full",
            without_timeline=chosen is not None and "timeline" not in chosen,
        )
        return answer(profile if chosen is None else with_fields(profile, chosen))

    @routes.get(
        "/users",
        summary="Users by trait, segment, time or score, a page at a time; or exactly one, by user_id",
        openapi_extra=_list_parameters() | answered(UserPage | UserProfile, LIST_EXAMPLE),
    )
    async def list_users(
        request: Request,
        tenant_id: Reader,
        user_id: MaybeUserId = None,
        as_of: AsOf = None,
        timeline: Timeline = "recent",
        limit: Limit = 100,
    ) -> Response:
        asked = _parameters(request)
        if user_id is not None:
            _allow(asked, _SHOWS, "next to user_id")
            return await show(tenant_id, user_id, as_of, timeline, asked.get("fields"))
        filters = [(name[len("filter[") : -1], value) for name, value in asked.items() if _is_filter(name)]
        _allow({name: value for name, value in asked.items() if not _is_filter(name)}, _LISTS, "in a list of users")
        query = read_query(tenant_id, filters, asked.get("sort"), asked.get("fields"), limit)
        return answer(await parts.user_list.page(query, asked.get("cursor")))

    @routes.delete("/users", summary="Erase a user for good, named by user_id", openapi_extra=answered(Erased, ERASED))
    async def erase_named(user_id: UserId, tenant_id: Eraser) -> Response:
        return answer(await parts.users.erase(tenant_id, user_id))

    @routes.get(
        "/users/export",
        summary="Everything held on a user, named by user_id",
        openapi_extra=answered(UserExport | UserProfile, EXPORT),
    )
    async def export_named(
        request: Request,
        tenant_id: Exporter,
        user_id: MaybeUserId = None,
        as_of: AsOf = None,
        timeline: Timeline = "recent",
    ) -> Response:
        if user_id is None:  # the path of a user whose id is `export`
            return await show(tenant_id, "export", as_of, timeline, _parameters(request).get("fields"))
        _allow(_parameters(request), {"user_id"}, "next to user_id")
        return await streamed(parts.users.export(tenant_id, user_id))

    @routes.post(
        "/users/consent",
        summary="Record that a user agreed, or withdrew, named by user_id",
        openapi_extra=described("Consent", CONSENT_EXAMPLE)
        | answered(ConsentStated, {"user_id": "u-17", **CONSENT_EXAMPLE}),
    )
    async def state_consent_named(user_id: UserId, request: Request, tenant_id: Writer) -> Response:
        return await consent(tenant_id, user_id, request)

    @routes.get(
        "/users/inbox",
        summary="A user's in-app messages, named by user_id; to mark them, name the user in the path",
        openapi_extra=_inbox_said(),
    )
    async def inbox_named(
        request: Request,
        tenant_id: Reader,
        asked: Annotated[Asked, Depends(INBOX.asked)],
        user_id: MaybeUserId = None,
        as_of: AsOf = None,
        timeline: Timeline = "recent",
        if_none_match: KnownTags = None,
    ) -> Response:
        if user_id is None:  # the path of a user whose id is `inbox`
            return await show(tenant_id, "inbox", as_of, timeline, None)
        return await inbox_page(parts, request, tenant_id, user_id, asked, if_none_match)

    @routes.get(
        "/users/{user_id:id}/export",
        summary="Everything held on a user",
        openapi_extra=answered(UserExport, EXPORT),
    )
    async def export_user(user_id: str, request: Request, tenant_id: Exporter) -> Response:
        _named_once(request)
        return await streamed(parts.users.export(tenant_id, user_id))

    @routes.post(
        "/users/{user_id:id}/consent",
        summary="Record that a user agreed, or withdrew",
        openapi_extra=described("Consent", CONSENT_EXAMPLE)
        | answered(ConsentStated, {"user_id": "u-17", **CONSENT_EXAMPLE}),
    )
    async def state_consent(user_id: str, request: Request, tenant_id: Writer) -> Response:
        _named_once(request)
        return await consent(tenant_id, user_id, request)

    @routes.get(
        "/users/{user_id:id}",
        summary="One user: traits, features, segments, timeline, decisions, consent",
        openapi_extra=with_schema(_profile_schema(), PROFILE),
    )
    async def get_user(
        user_id: str,
        request: Request,
        tenant_id: Reader,
        as_of: AsOf = None,
        timeline: Timeline = "recent",
        fields: ProfileFields = None,
    ) -> Response:
        _named_once(request)
        return await show(tenant_id, user_id, as_of, timeline, fields)

    @routes.delete("/users/{user_id:id}", summary="Erase a user for good", openapi_extra=answered(Erased, ERASED))
    async def erase_user(user_id: str, request: Request, tenant_id: Eraser) -> Response:
        _named_once(request)
        return answer(await parts.users.erase(tenant_id, user_id))

    return routes


def _parameters(request: Request) -> dict[str, str]:
    """Return the parameters by name. Raises RequestError (`repeated_parameter`)."""
    found: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in found:
            raise RequestError(f"{name[:80]} is given twice; give it once", code="repeated_parameter")
        found[name] = value
    return found


def _is_filter(name: str) -> bool:
    return name.startswith("filter[") and name.endswith("]")


def _allow(asked: dict[str, str], known: set[str], where: str) -> None:
    for name in asked:
        if name not in known:
            there_are = ", ".join(sorted(known)) + (", filter[...]" if known is _LISTS else "")
            message = f"there is no parameter {name[:80]!r} {where}; there are {there_are}"
            raise RequestError(message, code="unknown_parameter")


def _named_once(request: Request) -> None:
    """Refuse a request that names a user in its path and by user_id: they may be two."""
    if "user_id" in request.query_params:
        raise RequestError("the path names the user already; leave user_id out", code="unknown_parameter")


def _profile_schema() -> dict[str, Any]:
    """Return the schema of a profile; which members it has is the caller's choice, so that it requires none."""
    defs = dict(schema_of(UserProfile)["$defs"])
    shown = {name: value for name, value in defs.pop("UserProfile").items() if name != "required"}
    return {"$ref": "#/$defs/ShownUser", "$defs": defs | {"ShownUser": shown | {"title": "ShownUser"}}}


def _profile_fields(written: str) -> frozenset[str]:
    """Return the members of a profile that a caller names. Raises RequestError (`unknown_field`)."""
    named = frozenset(written.split(","))
    unknown = sorted(named - PROFILE_FIELDS)
    if unknown:
        there_are = ", ".join(sorted(PROFILE_FIELDS))
        raise RequestError(f"a user has no field {unknown[0][:80]!r}; there are {there_are}", code="unknown_field")
    return named


def _moment(text: str | None) -> int | None:
    if text is None:
        return None
    found = instant(text)
    if found is None:
        raise RequestError(f"as_of must be an ISO 8601 time such as 2026-01-31T00:00:00Z, not {text[:80]!r}")
    return found


def _list_parameters() -> dict[str, Any]:
    """Return the OpenAPI of what the list reads from the address by itself."""
    text = {"type": "string", "maxLength": MAX_SOUGHT}
    moment = {"type": "string", "format": "date-time"}
    score = {"type": "number"}
    described_: tuple[tuple[str, dict[str, Any], str, Any], ...] = (
        ("filter[traits.plan]", text, "equal to a trait (any name after `traits.`): a text, number or bool", "pro"),
        ("filter[traits.email][prefix]", text, "how a trait that is a text begins", "ann"),
        ("filter[segment]", text, "members of a published segment", None),
        ("filter[user_id][prefix]", text, "how a userId begins", "u-"),
        ("filter[known]", {"type": "string", "enum": ["true", "false"]}, "false: never identified", "true"),
        ("filter[last_seen][after]", moment, "also `first_seen`, also `[before]`", "2026-01-01T00:00:00Z"),
        ("filter[last_seen][before]", moment, "", None),
        ("filter[score][gte]", score, "also `engagement`, `events`; also `[gt]`, `[lt]`, `[lte]`", 0.5),
        ("sort", {"type": "string", "enum": [*SORTS, *(f"-{name}" for name in SORTS)]},
         "minus: reversed; who lacks it comes last", "-last_seen"),
        ("fields", {"type": "string", "enum": [*FIELDS, "last_seen,score,traits.email"]},
         "some of these, separated by commas; `traits.NAME` is one trait", "last_seen,score,traits.email"),
        ("cursor", {"type": "string"}, "next_cursor of the page before; same filters, same sort", None),
    )  # fmt: skip
    return {
        "parameters": [
            {"name": name, "in": "query", "required": False, "description": told, "schema": schema}
            | ({} if example is None else {"example": example})
            for name, schema, told, example in described_
        ]
    }
