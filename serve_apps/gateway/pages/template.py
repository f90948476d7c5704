"""Renders one template: what a user would get of it, in a language that the viewer chooses, and what its lint finds.

An e-mail's HTML is shown in a sandboxed frame with its own address, which :func:`preview_document` serves.
"""

from __future__ import annotations

from dataclasses import dataclass

from serve_apps.gateway.pages import mail
from serve_apps.gateway.pages.documents import TemplatePage
from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.services.preview import NoPreview
from whisperer.content.blocks import BLOCK, STANDS_FOR
from whisperer.content.locales import direction
from whisperer.vocabulary.channels import CHANNELS

MOST_FINDINGS = 60


@dataclass(frozen=True, slots=True)
class Asking:
    """How the viewer sends a test: the token of their session's forms, "" for one who has none, and what became of the
    one before: its status, or what was wrong."""

    csrf: str = ""
    said: str = ""
    is_wrong: bool = False


def render_template(document: TemplatePage, *, locale: str, user_id: str, site: Site, asking: Asking = Asking()) -> str:
    """Render the page at ``/templates/{name}``; ``locale`` and ``user_id`` are what the viewer asked for, or ""."""
    outcome = document.preview
    described = CHANNELS[STANDS_FOR if document.channel == BLOCK else document.channel].parts
    return render(
        "template.html",
        site=site,
        shown=document,
        locale=locale,
        user_id=user_id,
        refusal=outcome if isinstance(outcome, NoPreview) else None,
        preview=None if isinstance(outcome, NoPreview) else outcome,
        direction="ltr" if isinstance(outcome, NoPreview) else direction(outcome.locale),
        framed={part.name for part in described if part.syntax == "html"},
        for_machines={part.name for part in described if part.syntax == "json"},
        findings=document.findings[:MOST_FINDINGS],
        asking=asking,
    )


def preview_document(document: TemplatePage) -> str:
    """Return only the e-mail, to be served with :data:`~serve_apps.gateway.pages.mail.MAIL_HEADERS`."""
    outcome = document.preview
    html = "" if isinstance(outcome, NoPreview) else outcome.parts.get("html", "")
    return mail.readable(html).encode("utf-8", "replace").decode()
