"""Renders the home page, whole, from one live document.

Guarantees: every value is escaped (event names, user ids and descriptions are written by strangers); nothing is inline,
so the page works under :data:`PAGE_HEADERS`' policy; without JavaScript it is a complete snapshot. It leaves who may
see the document, and serving it, to the gateway.
"""

from __future__ import annotations

from collections.abc import Mapping

from jinja2 import Environment, PackageLoader, StrictUndefined

from serve_apps.gateway.pages import formats
from serve_apps.gateway.pages.first_event import snippets
from serve_apps.gateway.pages.live_view import LiveView
from serve_apps.gateway.pages.static_files import address

PAGE_HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",  # it may carry a write key
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""What the answer that carries the page must say."""

LATEST_SHOWN = 12
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
    LATEST_SHOWN=LATEST_SHOWN,
)


def render_home(live: LiveView | None, *, base_url: str, docs_url: str | None = None) -> str:
    """The page at ``/`` as HTML.

    Parameters
    ----------
    live : the document of ``GET /internal/live``, or None for a caller who may not see it: the page then only says that
        User Whisperer is running and how its operator looks inside
    base_url : this installation's own address as the caller reached it, for the snippets
    docs_url : where the documentation is served, if it is
    """
    if live is None:
        return _templates.get_template("signed_out.html").render()
    demo = live["demo"]
    return _templates.get_template("home.html").render(
        live=live,
        demo=demo,
        snippets=snippets(base_url, demo["write_key"] if demo else None),
        n_rejected=sum(live["events_rejected"].values()),
        rejected=[{"code": code, "events": n} for code, n in by_frequency(live["events_rejected"])],
        dashboard_url=_web_address(live["dashboard_url"]),
        docs_url=_web_address(docs_url),
    )


def by_frequency(rejected: Mapping[str, int]) -> list[tuple[str, int]]:
    """Codes with the most frequent first; equal counts by name."""
    return sorted(rejected.items(), key=lambda item: (-item[1], item[0]))


def _web_address(url: str | None) -> str | None:
    """Escaping does not stop a ``javascript:`` address: only web addresses become links."""
    return url if url is not None and url.startswith(_OPENS) else None
