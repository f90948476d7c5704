"""Resolves a campaign's template names when it is published: each becomes its newest version, or an error."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace
from sqlalchemy.orm import Session

from cluster.control_plane.known_supplies import known_supplies
from cluster.control_plane.segments import segments_of
from cluster.control_plane.templates import TemplateVersion, blocks_of, newest_templates
from cluster.control_plane.tenancy.tenant_settings import settings_of
from cluster.control_plane.transactions import home_of
from whisperer.eligibility.rules import TRANSACTIONAL
from whisperer.errors import Problem
from whisperer.ids import TenantId
from whisperer.journeys.campaign import Arm, Campaign, OnSegment
from whisperer.journeys.errors import CampaignError

if TYPE_CHECKING:
    from whisperer.content.lint.supplies import Known

_SUPPLIES = re.compile(r"\{%-?\s*(?:catalogue|coupon)\b")
UNKNOWN_TEMPLATE = "unknown_template"


def pin(session: Session, tenant_id: TenantId, campaign: Campaign) -> Campaign:
    """Return the campaign with every arm's ``template_version`` set.

    Raises
    ------
    CampaignError
        With every problem: code `unknown_template` if a template is missing, else `invalid_campaign`.
    """
    templates = {template.name: template for template in newest_templates(session, tenant_id)}
    known = known_supplies(session, tenant_id)
    home = settings_of(session, home_of(session, tenant_id).id)
    needs_address = home.postal_address and campaign.purpose != TRANSACTIONAL
    problems: list[Problem] = []
    arms: list[Arm] = []
    for index, arm in enumerate(campaign.arms):
        template = templates.get(arm.template)
        if template is None:
            message = f"there is no template {arm.template!r}; make it first"
            problems.append(Problem(pointer=f"/arms/{index}/template", code=UNKNOWN_TEMPLATE, message=message))
        elif template.channel != arm.channel:
            message = f"template {arm.template!r} is for {template.channel}, this arm's channel is {arm.channel}"
            problems.append(Problem(pointer=f"/arms/{index}/channel", code="channel_mismatch", message=message))
        else:
            problems += _problems_of_content(session, index, template, known, home.brand if needs_address else None)
            arms.append(replace(arm, template_version=template.version))
    problems += _problems_of_trigger(session, tenant_id, campaign)
    if problems:
        missing = any(problem["code"] == UNKNOWN_TEMPLATE for problem in problems)
        raise CampaignError(problems, code=UNKNOWN_TEMPLATE if missing else None)
    return replace(campaign, arms=tuple(arms))


def _problems_of_content(
    session: Session, arm: int, template: TemplateVersion, known: Known, brand: dict[str, str] | None
) -> list[Problem]:
    """Return what the lint is certain of: of a template published before there was one, or what it names before that
    was deleted.

    With a ``brand``, the mails have to show the sender's postal address, which may be the brand's.
    """
    from whisperer.content.blocks import filled_in  # loads Liquid, which only publishing needs
    from whisperer.content.errors import TemplateError
    from whisperer.content.lint.checks import as_problem, errors_of, without_address
    from whisperer.content.template import parse_template

    try:
        body = filled_in(template.body, blocks_of(session, template.tenant_id, template.body)).body
        # Compiling takes long, and few templates name anything outside of themselves.
        parsed = parse_template(body) if _may_name_supplies(body) else None
        missing = without_address(body, brand) if brand is not None else []
        found = [as_problem(finding) for finding in (*errors_of(body, parsed, known), *missing)]
    except TemplateError as error:
        found = list(error.errors)
    return [
        Problem(
            pointer=f"/arms/{arm}/template",
            code=problem["code"],
            message=f"template {template.name!r}, {problem['pointer']}: {problem['message']}",
        )
        for problem in found
    ]


def _may_name_supplies(body: dict[str, Any]) -> bool:
    texts = (text for parts in body["locales"].values() for text in parts.values())
    return any(_SUPPLIES.search(text) for text in texts)


def check_trigger(session: Session, tenant_id: TenantId, campaign: Campaign) -> None:
    """Check that the segment that triggers a campaign is live. Raises CampaignError (`unknown_segment` in it)."""
    if problems := _problems_of_trigger(session, tenant_id, campaign):
        raise CampaignError(problems)


def _problems_of_trigger(session: Session, tenant_id: TenantId, campaign: Campaign) -> list[Problem]:
    trigger = campaign.trigger
    if not isinstance(trigger, OnSegment) or trigger.segment in {s.name for s in segments_of(session, tenant_id)}:
        return []
    message = f"there is no segment {trigger.segment!r}; publish it first"
    return [Problem(pointer="/trigger/segment", code="unknown_segment", message=message)]
