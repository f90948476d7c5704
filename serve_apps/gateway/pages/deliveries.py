"""Renders what became of messages: one row a message, as its latest attempt left it, dead letters among them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from serve_apps.gateway.pages.documents import DeliveriesPage
from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.services.deliveries import USUAL_DAYS
from whisperer.delivery.listing import DeliveryState
from whisperer.vocabulary.channels import CHANNELS

_PLACE = re.compile(r"(\d{1,15})\.([A-Za-z0-9_]{1,64})")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the viewer asked for; "" means anything. ``after``: behind which delivery to go on."""

    status: str = ""
    channel: str = ""
    campaign: str = ""
    after: str = ""

    @property
    def any(self) -> bool:
        return bool(self.status or self.channel or self.campaign)

    @property
    def place(self) -> tuple[int, str] | None:
        """Return (ms UTC, send key); None for the newest, also if the address was written by hand."""
        found = _PLACE.fullmatch(self.after)
        return None if found is None else (int(found[1]), found[2])


def render_deliveries(document: DeliveriesPage, *, wanted: Wanted, now: int, site: Site) -> str:
    """Render the page at ``/deliveries``."""
    return render(
        "deliveries.html",
        site=site,
        now=now,
        wanted=wanted,
        days=USUAL_DAYS,
        statuses=[str(state) for state in DeliveryState],
        dead=str(DeliveryState.DEAD),
        channels=list(CHANNELS),
        deliveries=document.deliveries,
        older=None if document.after is None else "{}.{}".format(*document.after),
    )
