"""What a user reads and changes with a token of their own: their preferences. The token says who they are; no path or
body does. docs/access.md describes tokens.
"""

from typing import Annotated, Literal

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import answer, read_as
from serve_apps.gateway.http.permitted import for_users
from serve_apps.gateway.routes.examples import PROFILE
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.profile import ConsentStated, Preferences
from whisperer.access.user_tokens import UserToken
from whisperer.eligibility.rules import MARKETING
from whisperer.events.write_key import presented_key
from whisperer.vocabulary.channels import ChannelName

Purpose = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]{0,62}|\*)$")]
EXAMPLE = {"channel": "email", "purpose": "marketing", "granted": False}
SOURCE = "user"
"""The source of what users say themselves."""


PREFERENCES = {"user_id": "u-17", **{name: PROFILE[name] for name in ("consent", "suppressed")}}


class PreferenceBody(msgspec.Struct, forbid_unknown_fields=True):
    """A user's own statement about one channel and purpose; ``*`` means all of them."""

    channel: Literal[ChannelName, "*"]
    granted: bool
    purpose: Purpose = MARKETING


def router(parts: Parts) -> APIRouter:
    routes = APIRouter(tags=["me"])

    async def user(request: Request) -> UserToken:
        token = await parts.user_tokens.user_of(presented_key(request.headers.get("authorization"), None))
        await parts.access.admit_user(request, token.tenant_id, token.user_id)
        return token

    User = Annotated[UserToken, Depends(for_users(user))]

    @routes.get(
        "/me/consent",
        summary="Your own preferences: what you agreed to and withdrew, by channel and purpose",
        openapi_extra=answered(Preferences, PREFERENCES),
    )
    async def get_preferences(token: User) -> Response:
        return answer(await parts.users.preferences(token.tenant_id, token.user_id))

    @routes.put(
        "/me/consent",
        summary="State that you agree, or withdraw",
        openapi_extra=described("Preference", EXAMPLE)
        | answered(ConsentStated, {"user_id": "u-17", **EXAMPLE, "source": SOURCE}),
    )
    async def put_preference(request: Request, token: User) -> Response:
        body = await read_as(request, PreferenceBody)
        stated = await parts.users.state_preference(
            token.tenant_id, token.user_id, body.channel, body.purpose, body.granted, SOURCE
        )
        return answer(stated)

    return routes
