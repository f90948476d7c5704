"""Renders one campaign: what became of its candidates, what each arm earned, the lift, and its definition in words."""

from __future__ import annotations

from typing import Any

from serve_apps.gateway.pages import definition, formats
from serve_apps.gateway.pages.days import days_picture
from serve_apps.gateway.pages.documents import CampaignPage
from serve_apps.gateway.pages.pictures import Slice, accounting, bars, lift_picture
from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.pages.story import shown
from serve_apps.gateway.services.simulations import SimulationDocument
from whisperer.evaluation.lift import SUSPICIOUS_P
from whisperer.vocabulary.groups import GROUPS

MOST_QUALITIES = 30
"""Arms and languages whose quality is shown."""


def render_campaign(campaign: CampaignPage, *, now: int, site: Site) -> str:
    """Render the page at ``/campaigns/{name}``."""
    parts, missing = accounting(
        campaign.candidates, campaign.sent, campaign.no_send, campaign.refused, campaign.pending
    )
    by_group = sorted(campaign.arms, key=lambda row: _order(row.group))
    return render(
        "campaign.html",
        site=site,
        now=now,
        campaign=campaign,
        parts=parts,
        missing=missing,
        lift=lift_picture(campaign.lift, campaign.uniform_lift),
        days=days_picture(campaign.days),
        simulation=campaign.simulation,
        simulated=_simulated(campaign.simulation),
        results=[
            (row, bar.width, formats.percent(row.converted / row.decisions) if row.decisions else formats.DASH)
            for row, bar in zip(by_group, bars([(row.arm, row.decisions) for row in by_group]), strict=True)
        ],
        groups=sorted(campaign.groups, key=lambda row: _order(row.group)),
        suspicious_p=SUSPICIOUS_P,
        qualities=[] if campaign.quality is None else campaign.quality.arms[:MOST_QUALITIES],
        rows=definition.rows(campaign.definition),
        arms=[_arm(arm) for arm in campaign.definition.get("arms", ()) if isinstance(arm, dict)],
    )


def _order(group: str) -> int:
    """Order groups: policy first, because the page is about it; the holdout last, because it is the baseline."""
    return -GROUPS.index(group) if group in GROUPS else 1


def _simulated(simulation: SimulationDocument | None) -> tuple[list[Slice], int]:
    """Return what a simulation's candidates became, in the form used for real ones."""
    result = None if simulation is None else simulation.result
    if result is None:
        return [], 0
    return accounting(result.candidates, result.sent, result.no_send, result.refused, result.pending)


def _arm(arm: dict[str, Any]) -> dict[str, str]:
    offer, cost = arm.get("offer"), arm.get("cost")
    return {
        "id": str(arm.get("id", "")),
        "channel": str(arm.get("channel", "")),
        "template": str(arm.get("template", "")),
        "offer": "none" if offer is None else shown(offer),
        "cost": formats.number(cost) if isinstance(cost, (int, float)) else "0",
        "from_name": str(arm.get("from_name") or ""),
        "reply_to": str(arm.get("reply_to") or ""),
    }
