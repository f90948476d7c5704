"""Renders what is shown when there is no page: what is wrong, and the choice of a tenant."""

from __future__ import annotations

from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site


def render_trouble(title: str, message: str, *, site: Site) -> str:
    """Render the page that says what is wrong."""
    return render("trouble.html", site=site, title=title, message=message)


def render_choice(path: str, names: tuple[str, ...], *, site: Site) -> str:
    """Ask which tenant's page at ``path`` is meant."""
    return render("choose_tenant.html", site=site, path=path, names=names)
