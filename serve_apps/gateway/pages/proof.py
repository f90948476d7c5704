"""Sends a test from a template's page for somebody who is signed in, and returns with what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from fastapi import FastAPI, Request
from starlette.responses import Response

from serve_apps.gateway.http import cookies
from serve_apps.gateway.http.forms import read_form
from serve_apps.gateway.pages import site
from serve_apps.gateway.pages.auth_forms import to
from serve_apps.gateway.pages.template import needed, shown_as
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.preview import NoPreview
from serve_apps.gateway.services.proofs import ProofBody, send_proof
from whisperer.access.permissions import Permission
from whisperer.delivery.dispatch import Verdict
from whisperer.errors import InvalidKeyError, WhispererError

_SAID = {
    Verdict.ACCEPTED: "The provider took it.",
    Verdict.BOUNCED: "The provider says that this address does not exist, or refuses us.",
    Verdict.REJECTED: "The provider did not take it.",
    Verdict.REFUSED: "It was not passed to the provider.",
    Verdict.RETRY: "It was not handed over; try again in a while.",
    Verdict.WAITING: "The provider has no connection free; try again in a while.",
    Verdict.UNKNOWN: "It was handed over, and no answer came: it may arrive.",
}
_WRONG = {
    "not_rendered": "It cannot be rendered like this, so nothing was sent.",
    "not_a_test_recipient": "A test goes to your own e-mail address, or to one of the tenant's test recipients.",
    "too_many_tests": "That were many tests in a short time; try again in a while.",
    "kept_with_users": "The inbox keeps messages with their users; look at the preview.",
    "invalid_body": "Say where it goes: one of the tenant's test recipients.",
    "forbidden": "Your role does not allow it.",
}


def said_of(query: Mapping[str, str]) -> tuple[str, bool]:
    """Return what the page says of the test before, and whether something was wrong; nothing that a link could choose
    beyond that."""
    code = query.get("test", "")
    if code in list(Verdict):
        return _SAID[Verdict(code)], code != Verdict.ACCEPTED
    return (_WRONG.get(code, "It could not be sent."), True) if code else ("", False)


def install(app: FastAPI, parts: Parts) -> None:
    """Add what the form of a template's page does."""

    @app.post("/templates/{name}/test", include_in_schema=False)
    async def send(name: str, request: Request) -> Response:
        cookie = cookies.session_cookie(request)
        if cookie is None:
            raise InvalidKeyError("sign in")
        principal = await parts.access.tokens.session(cookie)
        fields = await read_form(request)
        cookies.check_origin(request, cookie, fields.get(cookies.CSRF_FIELD, ""))
        parts.access.act(request, principal)
        tenant = (await asyncio.to_thread(parts.plane.get_tenant, principal.tenant_id)).name
        locale, user_id = fields.get("locale", "")[:200], fields.get("user_id", "")[:1_000]
        sent_by = fields.get("sent_by", "")[:400]
        try:
            await parts.access.admit(request, principal, Permission.TEMPLATES_WRITE)
            asked = shown_as(locale, user_id, sent_by)
            for permission in needed(asked):
                principal.require(permission)
            body = ProofBody(
                locale=asked.locale,
                user_id=asked.user_id,
                campaign=asked.campaign,
                arm=asked.arm,
                to=fields.get("to", "").strip()[:4_096] or None,
                marked=fields.get("marked") == "yes",
            )
            sent = await send_proof(parts, principal, name, body)
            code = "not_rendered" if isinstance(sent, NoPreview) else sent.status
        except WhispererError as error:
            if error.status >= 500 and not error.retryable:
                raise
            code = error.code
        shown = {"locale": locale, "user_id": user_id, "sent_by": sent_by, "test": code}
        return to(site.page(f"/templates/{site.segment(name)}", tenant, **shown))
