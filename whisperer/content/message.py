"""Define what the content application is asked and what it answers: a message's parts, or why there is none."""

from __future__ import annotations

import msgspec

from whisperer.content.recent import RecentEvent
from whisperer.ids import DecisionId, SendKey, TenantId, UserKey


class RenderRequest(msgspec.Struct, array_like=True, frozen=True):
    """Ask for the message of one decision.

    Attributes
    ----------
    template, template_version : a published template of the tenant
    variant : the arm's id, for the template's variable ``arm``
    offer : JSON of the arm's offer, b"null" if it has none
    locale : BCP 47 of the user, "" if unknown
    zone : IANA zone of the user, "" if unknown
    traits : trait name -> JSON as the client wrote it
    features : raw features by name, NaN where absent
    event : JSON of the triggering event's properties, b"" if no event triggered it
    address : where the message goes, e.g. an e-mail address
    purpose : the campaign's; `transactional` carries no unsubscribe link
    now : ms UTC
    recent : the user's latest events, newest first; None if nobody has looked, as few templates show them
    brief : JSON of the arm's :class:`whisperer.content.generation.brief.Brief`, b"" if no model writes for it
    """

    send_key: SendKey
    decision_id: DecisionId
    tenant: TenantId
    user_key: UserKey
    campaign: str
    channel: str
    template: str
    template_version: int
    variant: str
    offer: bytes
    locale: str
    zone: str
    traits: dict[str, bytes]
    features: dict[str, float]
    event: bytes
    address: str
    purpose: str
    now: int
    recent: list[RecentEvent] | None = None
    brief: bytes = b""


class Rendered(msgspec.Struct, array_like=True, frozen=True, tag="rendered"):
    """Answer with a message: ``parts`` by their names, ``headers`` to add, such as List-Unsubscribe.

    ``content_hash``: hex of a hash over channel, locale and parts *before* links were signed, so that equal texts have
    equal hashes. ``reference``: what providers bring back with their callbacks, "" for none. ``provenance``: JSON of
    where the words come from (:mod:`whisperer.content.generation.record`), b"" if there is nothing to say.
    """

    send_key: SendKey
    parts: dict[str, str]
    headers: dict[str, str]
    locale: str
    content_hash: str
    reference: str = ""
    provenance: bytes = b""


class NotRendered(msgspec.Struct, array_like=True, frozen=True, tag="not_rendered"):
    """Answer why there is no message.

    ``reason`` is a value of :class:`whisperer.vocabulary.reasons.Reason`, ``detail`` is for the campaign's author.
    """

    send_key: SendKey
    reason: str
    detail: str


class Wanting(msgspec.Struct, array_like=True, frozen=True, tag="wanting"):
    """Answer that the template shows the user's latest events: ask again with them."""

    send_key: SendKey


Answer = Rendered | NotRendered | Wanting
