"""Renders the whole home page from one live document.

The loop comes first: a newcomer sees within seconds what goes in, what is decided and sent, and what it brought.
Without JavaScript the page is a complete snapshot. Serving it, and deciding who may see the document, are left to the
gateway.
"""

from __future__ import annotations

from collections.abc import Mapping

from serve_apps.gateway.pages import flow
from serve_apps.gateway.pages.first_event import snippets
from serve_apps.gateway.pages.live_view import LiveView
from serve_apps.gateway.pages.rendering import render, web_address
from serve_apps.gateway.pages.site import Site

LATEST_SHOWN = 12
LATEST_OF_LOOP = 8
CAMPAIGNS_SHOWN = 12


def render_home(live: LiveView | None, *, base_url: str, docs_url: str | None = None, tenant: str | None = None) -> str:
    """Render the page at ``/`` as HTML.

    Parameters
    ----------
    live : the document of ``GET /internal/live``, or None for a caller who may not see it: the page then only says that
        User Whisperer is running and how its operator looks inside
    base_url : this installation's own address as the caller reached it, for the snippets
    docs_url : where the documentation is served, if it is
    tenant : the tenant for the search and the links in the head; by default the demo's, else the only one
    """
    if live is None:
        return render("signed_out.html")
    demo, loop = live.demo, live.loop
    names = tuple(tenant.name for tenant in live.tenants)
    usual = demo.tenant if demo else names[0] if len(names) == 1 else None
    return render(
        "home.html",
        site=Site(
            tenant=tenant if tenant in names else usual,
            tenants=names,
            here="/",
            docs_url=web_address(docs_url),
            dashboard_url=web_address(live.dashboard_url),
        ),
        live=live,
        circuit=loop,  # in a template, `loop` is the state of the nearest `for`
        stages=flow.stages(live, loop),
        cards=flow.cards(loop)[:CAMPAIGNS_SHOWN],
        demo=demo,
        snippets=snippets(base_url, demo.write_key if demo else None),
        n_rejected=sum(live.events_rejected.values()),
        rejected=[{"code": code, "events": n} for code, n in by_frequency(live.events_rejected)],
        LATEST_SHOWN=LATEST_SHOWN,
        LATEST_OF_LOOP=LATEST_OF_LOOP,
    )


def by_frequency(rejected: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return codes with the most frequent first; equal counts are ordered by name."""
    return sorted(rejected.items(), key=lambda item: (-item[1], item[0]))
