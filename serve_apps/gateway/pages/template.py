"""Renders one template: what a user would get of it, in a language that the viewer chooses, and what its lint finds.

An e-mail's HTML is shown in a sandboxed frame with its own address, which :func:`preview_document` serves.
"""

from __future__ import annotations

from dataclasses import dataclass

from serve_apps.gateway.pages import mail
from serve_apps.gateway.pages.documents import TemplatePage
from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.services.preview import NO_ARM, NO_CAMPAIGN, NoPreview, PreviewBody
from whisperer.access.permissions import Permission
from whisperer.content.blocks import BLOCK, STANDS_FOR
from whisperer.content.locales import direction
from whisperer.vocabulary.channels import CHANNELS

MOST_FINDINGS = 60
MOST_ARMS = 200


@dataclass(frozen=True, slots=True)
class Asking:
    """How the viewer sends a test: the token of their session's forms, "" for one who has none, and what became of the
    one before: its status, or what was wrong."""

    csrf: str = ""
    said: str = ""
    is_wrong: bool = False


def render_template(
    document: TemplatePage, *, locale: str, user_id: str, sent_by: str = "", site: Site, asking: Asking = Asking()
) -> str:
    """Render the page at ``/templates/{name}``; ``locale``, ``user_id`` and ``sent_by`` are what the viewer asked for,
    or ""."""
    outcome = document.preview
    described = CHANNELS[STANDS_FOR if document.channel == BLOCK else document.channel].parts
    return render(
        "template.html",
        site=site,
        shown=document,
        locale=locale,
        user_id=user_id,
        sent_by=sent_by,
        arms=document.arms[:MOST_ARMS],
        refusal=outcome if isinstance(outcome, NoPreview) else None,
        preview=None if isinstance(outcome, NoPreview) else outcome,
        direction="ltr" if isinstance(outcome, NoPreview) else direction(outcome.locale),
        framed={part.name for part in described if part.syntax == "html"},
        for_machines={part.name for part in described if part.syntax == "json"},
        findings=document.findings[:MOST_FINDINGS],
        asking=asking,
    )


def shown_as(locale: str, user_id: str, sent_by: str) -> PreviewBody:
    """Return for what a template is shown; ``sent_by`` is ``campaign/arm``, and each may be ""."""
    campaign, _, arm = sent_by.partition("/")
    return PreviewBody(
        locale=locale or None,
        user_id=user_id or None,
        campaign=campaign[:200] or NO_CAMPAIGN,
        arm=arm[:200] or NO_ARM,
    )


def needed(asked: PreviewBody) -> list[Permission]:
    """Return what a viewer has to be allowed to see besides the template."""
    users = [Permission.USERS_READ] if asked.user_id is not None else []
    return users + ([Permission.CAMPAIGNS_READ] if asked.names_campaign else [])


def preview_document(document: TemplatePage) -> str:
    """Return only the e-mail, to be served with :data:`~serve_apps.gateway.pages.mail.MAIL_HEADERS`."""
    outcome = document.preview
    html = "" if isinstance(outcome, NoPreview) else outcome.parts.get("html", "")
    return mail.readable(html).encode("utf-8", "replace").decode()
