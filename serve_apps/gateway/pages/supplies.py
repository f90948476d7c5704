"""Renders what a tenant's templates draw on: catalogues with their items, coupon pools with what is left."""

from __future__ import annotations

from serve_apps.gateway.pages.documents import CataloguesPage, CouponsPage
from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site

PER_PAGE = 50


def render_catalogues(document: CataloguesPage, *, now: int, site: Site) -> str:
    """Render the page at ``/catalogues``, or ``/catalogues/{name}`` with a part of one's items."""
    return render("catalogues.html", site=site, now=now, shown=document)


def render_coupons(document: CouponsPage, *, now: int, site: Site) -> str:
    """Render the page at ``/coupon-pools``, or ``/coupon-pools/{name}`` with who got which code lately."""
    return render("coupons.html", site=site, now=now, shown=document)
