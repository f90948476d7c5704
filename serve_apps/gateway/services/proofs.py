"""Sends a template to be looked at, through the tenant's real channel: a proof.

It has the same bytes as a preview, so its links lead straight to their targets and report nothing; only a mark in its
subject or title is added, if asked for. It is no decision: consent, caps and quiet hours are not asked, nobody's state
changes, nothing is learned, and it is counted nowhere as a send. There is one attempt, under a send key of its own; its
provider's callbacks find no message to speak of.

Who may get one: the e-mail address with which the person who asks signs in, and the tenant's test recipients. So nobody
can write to a customer by calling it a test. A tenant has only a few at a time
(:mod:`.dispatching`); each is entered in the audit log before it is sent.
"""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

import msgspec

from cluster.control_plane import ControlPlane
from cluster.control_plane.audit.acting import ActorKind
from cluster.control_plane.audit.entries import Entry, Verb
from serve_apps.gateway.http.exchange import InvalidBodyError
from serve_apps.gateway.http.principal import Principal
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.preview import NoPreview, PreviewBody, no_preview, show
from whisperer.content.blocks import BLOCK
from whisperer.content.message import NotRendered
from whisperer.delivery.addresses import usable_address
from whisperer.delivery.dispatch import Dispatch
from whisperer.errors import ConflictError, ForbiddenError, NotFoundError
from whisperer.ids import DecisionId, SendKey, new_id
from whisperer.vocabulary.channels import CHANNELS

CAMPAIGN = "test"
"""What providers and the sink are told instead of a campaign."""
MARK = "[Test] "


class ProofBody(PreviewBody):
    """What a preview takes, and where it goes: ``to``, by default the caller's own e-mail address.

    ``marked``: whether the subject or title begins with ``[Test]``.
    """

    to: Annotated[str, msgspec.Meta(max_length=4_096)] | None = None
    marked: bool = False


class Proof(msgspec.Struct, kw_only=True):
    """What became of it, as the provider answered: `accepted`, `bounced`, `rejected`, `unknown`, `waiting` or `retry`.

    It is not sent again by itself: ``waiting`` and ``retry`` mean that it was not handed over, and ``unknown`` that it
    may have been.
    """

    name: str
    version: int
    channel: str
    rendered: bool = True
    locale: str
    to: str
    send_key: SendKey
    status: str
    provider: str | None
    provider_id: str | None
    detail: str | None
    content_hash: str


async def send_proof(parts: Parts, who: Principal, name: str, body: ProofBody) -> Proof | NoPreview:
    """Render a template, send it, and return the receipt, or why it cannot be rendered.

    Raises NotFoundError, InvalidBodyError, ForbiddenError (`not_a_test_recipient`), ConflictError
    (`kept_with_users`, `is_a_block`), TooManyError (`too_many_tests`) and UnavailableError.
    """
    shown = await show(parts, who.tenant_id, name, body)
    template, message = shown.template, shown.rendered
    if isinstance(message, NotRendered):
        return no_preview(name, template, message)
    if template.channel == BLOCK:
        raise ConflictError("a block is sent in the templates that use it: test one of those", code="is_a_block")
    to = await _recipient(parts.plane, who, template.channel, body.to)
    await parts.dispatching.admit(who.tenant_id, template.channel)
    entered = {"what": "sent as a test", "channel": template.channel, "version": template.version, "to": to}
    entry = Entry(who.tenant_id, Verb.DID, "templates", name, None, entered)
    await asyncio.to_thread(parts.plane.note_in_audit_log, [entry])
    now = time.time_ns() // 1_000_000
    receipt = await parts.dispatching.once(
        Dispatch(
            send_key=SendKey(new_id("snd", now)),
            decision_id=DecisionId(new_id("dec", now)),
            tenant=who.tenant_id,
            user_key=shown.user_key,
            campaign=CAMPAIGN,
            channel=template.channel,
            address=to,
            parts=marked(message.parts) if body.marked else message.parts,
            headers=message.headers,
            locale=message.locale,
            content_hash=message.content_hash,
            attempt=0,
            decided_at=now,
            from_name=shown.sender.name,
            reply_to=shown.sender.reply_to,
        )
    )
    return Proof(
        name=name,
        version=template.version,
        channel=template.channel,
        locale=message.locale,
        to=to,
        send_key=receipt.send_key,
        status=receipt.status,
        provider=receipt.provider or None,
        provider_id=receipt.provider_id or None,
        detail=receipt.detail or None,
        content_hash=message.content_hash,
    )


async def _recipient(plane: ControlPlane, who: Principal, channel: str, stated: str | None) -> str:
    """Return the address, if the caller may have it written to."""
    own = await _own_address(plane, who) if channel == "email" else None
    if stated is None and own is None:
        raise InvalidBodyError("/to", "say where it goes: one of the tenant's test recipients of this channel")
    to = usable_address(channel, stated if stated is not None else own or "")
    if to is None:
        raise InvalidBodyError("/to", f"this is no {CHANNELS[channel].address.noun}")
    settings = await asyncio.to_thread(plane.tenant_settings, who.tenant_id)
    fold = str.casefold if CHANNELS[channel].address.ignores_case else str
    allowed = [*settings.test_recipients.get(channel, []), *([own] if own else [])]
    if fold(to) not in [fold(usable_address(channel, one) or "") for one in allowed]:
        raise ForbiddenError(
            "a test goes to the e-mail address that you sign in with, or to one of the tenant's test recipients, "
            "which are among its settings",
            code="not_a_test_recipient",
        )
    return to


async def _own_address(plane: ControlPlane, who: Principal) -> str | None:
    if who.kind is not ActorKind.PERSON:
        return None
    try:
        return (await asyncio.to_thread(plane.person, who.id)).email
    except NotFoundError:  # of a foreign issuer, whose word for an address is not ours
        return None


def marked(parts: dict[str, str]) -> dict[str, str]:
    """Return a message whose subject or title says that it is a test; other messages have no place for it."""
    return {name: MARK + text if name in ("subject", "title") else text for name, text in parts.items()}
