"""The inbox resource: one user's in-app messages, for the tenant's programs and people and, with a token of their own,
for the user. docs/inbox.md describes it.

A browser polls with the ETag of what it has: as long as nothing changed, the user's shard makes no list, and the answer
is 304 without content.
"""

import re
from hashlib import blake2b
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Request
from starlette.responses import Response

from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import answer, read_as
from serve_apps.gateway.http.listing import FLAG, Asked, Listing, of_words
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import is_user
from serve_apps.gateway.routes.examples import INBOX_MESSAGE as EXAMPLE
from serve_apps.gateway.services.inbox_message import InboxMessage, InboxRead, shown
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.ids import DecisionId, TenantId
from whisperer.journeys.inbox import Mark
from whisperer.vocabulary.inapp import KINDS, MOST_ACTIONS

CLICK = {"action": 0}


def _listing(*also: str) -> Listing:
    return Listing(
        "users/inbox",
        InboxMessage,
        key="id",
        sorts=("sent_at",),
        usual="-sent_at",
        filters={
            "state": of_words(("unread", "read", "archived"), "archived ones are neither unread nor read"),
            "archived": FLAG,
            "kind": of_words(KINDS, "how it is to be shown"),
        },
        also=also,
        limit=50,
    )


LIST = _listing()
NAMED = _listing("user_id", "as_of", "timeline")
"""Of the path that names the user by `?user_id=`; without it, the path is that of a user whose id is `inbox`."""

MARKS = {
    Mark.SEEN: "Say that a message was on the user's screen: it counts as opened",
    Mark.READ: "Mark a message as read: it counts as opened",
    Mark.UNREAD: "Mark a message as unread again",
    Mark.ARCHIVE: "Put a message into the archive",
    Mark.UNARCHIVE: "Take a message out of the archive",
}
UNCHANGED = {"304": {"description": "Nothing changed since the answer with this ETag"}}

_TAG = re.compile(r'"([0-9a-f]{18})\.([0-9a-f]{12})"')

KnownTags = Annotated[
    str | None,
    Header(alias="if-none-match", max_length=1_000, description="the ETag of the last answer; 304 if nothing changed"),
]


class ClickBody(msgspec.Struct, forbid_unknown_fields=True):
    """Which of a message's actions was chosen, counted from 0."""

    action: Annotated[int, msgspec.Meta(ge=0, lt=MOST_ACTIONS)]


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["inbox"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.USERS_READ, or_user=True))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.USERS_WRITE, or_user=True))]
    said = LIST.documented(EXAMPLE, unread=1)

    @routes.get(
        "/users/{user_id:id}/inbox",
        summary="A user's in-app messages that have not expired, newest first, and how many are unread",
        openapi_extra=said | {"responses": said["responses"] | UNCHANGED},
    )
    async def show_inbox(
        user_id: str,
        request: Request,
        tenant_id: Reader,
        asked: Annotated[Asked, Depends(LIST.asked)],
        if_none_match: KnownTags = None,
    ) -> Response:
        return await inbox_page(parts, request, tenant_id, user_id, asked, if_none_match)

    @routes.post(
        "/users/{user_id:id}/inbox/read",
        summary="Mark all messages as read, which says of none that it was opened",
        openapi_extra=answered(InboxRead, {"unread": 0}),
    )
    async def read_all(user_id: str, request: Request, tenant_id: Writer) -> Response:
        return answer(await parts.inboxes.mark_all(tenant_id, user_id, Mark.READ, is_user=is_user(request)))

    @routes.post(
        "/users/{user_id:id}/inbox/{message}/click",
        summary="Say that an action of a message was chosen: it counts as clicked",
        openapi_extra=described("InboxClick", CLICK)
        | answered(InboxMessage, EXAMPLE | {"state": "read", **dict.fromkeys(("seen_at", "read_at"), _LATER)}),
    )
    async def click(user_id: str, message: DecisionId, request: Request, tenant_id: Writer) -> Response:
        body = await read_as(request, ClickBody)
        return answer(await parts.inboxes.click(tenant_id, user_id, message, body.action, is_user=is_user(request)))

    def add(mark: Mark, summary: str) -> None:
        @routes.post(
            f"/users/{{user_id:id}}/inbox/{{message}}/{mark.value}",
            summary=summary,
            openapi_extra=answered(InboxMessage, EXAMPLE | _MARKED.get(mark, {})),
            name=f"{mark.value}_message",
        )
        async def mark_message(user_id: str, message: DecisionId, request: Request, tenant_id: Writer) -> Response:
            return answer(await parts.inboxes.mark(tenant_id, user_id, message, mark, is_user=is_user(request)))

    for mark, summary in MARKS.items():
        add(mark, summary)
    return routes


async def inbox_page(
    parts: Parts, request: Request, tenant_id: TenantId, user_id: str, asked: Asked, if_none_match: str | None
) -> Response:
    """Return a page of a user's inbox, or that it is still what the caller has."""
    of_query = _digest(request)
    known_tag = next((tag for tag, query in _TAG.findall(if_none_match or "") if query == of_query), "")
    view = await parts.inboxes.show(tenant_id, user_id, is_user=is_user(request), known_tag=known_tag)
    etag = f'"{view.tag}.{of_query}"'
    if view.entries is None:
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": "no-store"})
    found = asked.page(tenant_id, shown(view), unread=view.n_unread)
    found.headers["ETag"] = etag
    return found


_LATER = "2026-01-31T09:12:44.120Z"
_MARKED: dict[Mark, dict[str, Any]] = {
    Mark.SEEN: {"seen_at": _LATER},
    Mark.READ: {"state": "read", "seen_at": _LATER, "read_at": _LATER},
    Mark.ARCHIVE: {"state": "archived", "archived": True, "archived_at": _LATER},
}


def _digest(request: Request) -> str:
    """Return what tells one question from another: an ETag is good for the same question only."""
    return blake2b(
        repr(sorted(request.query_params.multi_items())).encode("utf-8", "surrogatepass"), digest_size=6
    ).hexdigest()
