"""Renders what was "sent": the list of the sink's messages, and one message as its reader would have it.

An e-mail's HTML is shown in a sandboxed frame with its own address, which :func:`message_document` serves.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from serve_apps.gateway.pages import mail
from serve_apps.gateway.pages.documents import SinkPage
from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.routes.sink import MessageDocument
from whisperer.content.locales import direction
from whisperer.vocabulary.channels import CHANNELS

PER_PAGE = 50
_LOOKS = {("text",): "bubble", ("title", "body"): "notice"}
"""The needed parts of a channel's messages -> how they are shown; any others plainly, one below the other."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What the viewer asked for; "" means anything."""

    channel: str = ""
    user_id: str = ""
    campaign: str = ""
    before: int | None = None

    @property
    def any(self) -> bool:
        return bool(self.channel or self.user_id or self.campaign)


def render_sink(document: SinkPage, *, filters: Filters, now: int, site: Site) -> str:
    """Render the page at ``/sink``."""
    return render(
        "sink.html",
        site=site,
        now=now,
        filters=filters,
        channels=[*CHANNELS, *sorted(set(document.counts.by_channel) - set(CHANNELS))],
        counts=document.counts,
        campaigns=document.campaigns,
        older=document.next_before,
        messages=document.messages,
        subject=mail.subject,
        direction=direction,
    )


def render_message(
    message: MessageDocument, *, target_of: Callable[[str], tuple[str, str] | None], now: int, site: Site
) -> str:
    """Render the page at ``/sink/{send_key}``."""
    parts, channel = message.parts, CHANNELS.get(message.channel)
    described = () if channel is None else channel.parts
    return render(
        "message.html",
        site=site,
        now=now,
        message=message,
        subject=mail.subject(parts),
        look="plain" if channel is None else _LOOKS.get(channel.needed, "plain"),
        framed=any(part.syntax == "html" and bool(parts.get(part.name)) for part in described),
        for_machines=[part.name for part in described if part.syntax == "json"],
        settings=[part.name for part in described if part.form and parts.get(part.name)],
        links=mail.links(parts, target_of),
        direction=direction(message.locale),
    )


def message_document(message: MessageDocument) -> str:
    """Return only the e-mail, to be served with :data:`~serve_apps.gateway.pages.mail.MAIL_HEADERS`."""
    return mail.readable(message.parts.get("html", "")).encode("utf-8", "replace").decode()
