"""Describes where a page stands, with its tenant and neighbours, and is the only place that makes pages' addresses."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote, urlencode

_DOTS = (".", "..")


@dataclass(frozen=True, slots=True)
class Site:
    """What the head of every page shows.

    Attributes
    ----------
    tenant : the one this page is about, None if it is about all of them
    tenants : those to change to
    here : path of this page, for changing the tenant; "" if other tenants have no such page
    """

    tenant: str | None = None
    tenants: tuple[str, ...] = ()
    here: str = ""
    docs_url: str | None = None
    dashboard_url: str | None = None


def page(path: str, tenant: str | None, **query: str | int | None) -> str:
    """Return ``path`` with the tenant and all non-empty query values."""
    asked = {"tenant": tenant, **query}
    given = urlencode({name: value for name, value in asked.items() if value not in (None, "")}, errors="replace")
    return f"{path}?{given}" if given else path


def user_page(tenant: str | None, user_id: str) -> str:
    """Return a user's page. An empty id, or one of only dots, which browsers would take for a folder, goes into the
    query."""
    if user_id in _DOTS or not user_id:
        return page("/users/", tenant, id=user_id)
    return page(f"/users/{segment(user_id)}", tenant)


def decision_page(tenant: str | None, decision_id: str) -> str:
    return page(f"/decisions/{segment(decision_id)}", tenant)


def campaign_page(tenant: str | None, name: str) -> str:
    if name in _DOTS or not name:
        return page("/campaigns/", tenant, id=name)
    return page(f"/campaigns/{segment(name)}", tenant)


def template_page(tenant: str | None, name: str) -> str:
    if name in _DOTS or not name:
        return page("/templates/", tenant, id=name)
    return page(f"/templates/{segment(name)}", tenant)


def template_html(tenant: str | None, name: str, locale: str, user_id: str, sent_by: str = "") -> str:
    return page(f"/templates/{segment(name)}/html", tenant, locale=locale, user_id=user_id, sent_by=sent_by)


def template_test(tenant: str | None, name: str) -> str:
    return page(f"/templates/{segment(name)}/test", tenant)


def catalogue_page(tenant: str | None, name: str, after: str | None = None) -> str:
    return page(f"/catalogues/{segment(name)}", tenant, after=after)


def coupon_page(tenant: str | None, name: str) -> str:
    return page(f"/coupon-pools/{segment(name)}", tenant)


def deliveries_page(tenant: str | None, **filters: str | int | None) -> str:
    return page("/deliveries", tenant, **filters)


def message_page(tenant: str | None, send_key: str) -> str:
    return page(f"/sink/{segment(send_key)}", tenant)


def message_html(tenant: str | None, send_key: str) -> str:
    return page(f"/sink/{segment(send_key)}/html", tenant)


def sink_page(tenant: str | None, **filters: str | int | None) -> str:
    return page("/sink", tenant, **filters)


def segment(text: str) -> str:
    """Return a text as one segment of a path."""
    return quote(text, safe="", errors="replace")
