"""Renders what is said when there is no page to show: what is wrong, and the choice of a tenant."""

from __future__ import annotations

from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site


def render_trouble(title: str, message: str, *, site: Site) -> str:
    return render("trouble.html", site=site, title=title, message=message)


def render_choice(path: str, names: tuple[str, ...], *, site: Site) -> str:
    """Which tenant's page at ``path`` is meant."""
    return render("choose_tenant.html", site=site, path=path, names=names)
