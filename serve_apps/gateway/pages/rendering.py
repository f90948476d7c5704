"""Holds the one template environment of all pages, and the headers they are served with.

Guarantees: every value is escaped (strangers write event names, ids and texts), a missing one is an error and never a
blank, nothing is inline, and the output can be encoded whatever a stranger put in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from serve_apps.gateway.pages import formats, pictures, site
from serve_apps.gateway.pages.static_files import address

PAGE_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",  # it may contain a write key, and always what users did
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every response that carries a page."""

_OPENS = ("http://", "https://")

_templates = Environment(
    loader=PackageLoader("serve_apps.gateway.pages"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_templates.globals.update(
    static=address,
    written=formats.written,
    ago=formats.ago,
    absolute=formats.absolute,
    iso=formats.iso,
    moment=formats.moment,
    count=formats.count,
    percent=formats.percent,
    number=formats.number,
    reward=formats.reward,
    span=formats.span,
    until=formats.until,
    clip=formats.clip,
    bare=formats.user,
    bars=pictures.bars,
    page=site.page,
    user_page=site.user_page,
    decision_page=site.decision_page,
    campaign_page=site.campaign_page,
    message_page=site.message_page,
    message_html=site.message_html,
    sink_page=site.sink_page,
    deliveries_page=site.deliveries_page,
    catalogue_page=site.catalogue_page,
    coupon_page=site.coupon_page,
    template_page=site.template_page,
    template_html=site.template_html,
    template_test=site.template_test,
)


def render(template: str, **values: Any) -> str:
    """Render a template of `templates/`. Lone surrogates, which no encoding has, become question marks."""
    return _templates.get_template(template).render(values).encode("utf-8", "replace").decode()


def web_address(url: str | None) -> str | None:
    """Return the url if it is a web address: escaping does not stop a ``javascript:`` address from becoming a link."""
    return url if url is not None and url.startswith(_OPENS) else None
