"""Where a tenant says so, marketing mail shows a postal address, or its campaign does not go live."""

from __future__ import annotations

from typing import Any

from tests.support.gateway_world import Caller, World

MAIL = {"channel": "email", "locales": {"en": {"subject": "Hi", "html": "<p>Hi</p>"}}, "missing": "blank"}
FOOTED = {**MAIL, "locales": {"en": {"subject": "Hi", "html": "<p>Hi</p><p>{{ brand.address }}</p>"}}}


def campaign(**more: Any) -> dict[str, Any]:
    return {
        "publish": True,
        "trigger": {"event": "Signed Up"},
        "goal": {"event": "Bought", "window": "72h"},
        "arms": [{"id": "a", "channel": "email", "template": "mail"}],
        **more,
    }


async def test_a_marketing_campaign_without_one_is_refused_only_where_the_tenant_says_so(
    acme: Caller, world: World
) -> None:
    await acme.ok("PUT", "/templates/mail", MAIL)
    await acme.ok("POST", "/campaigns", {"name": "before", **campaign()})
    world.plane.set_tenant_settings(acme.id, postal_address=True)
    refused = await acme("POST", "/campaigns", {"name": "after", **campaign()})
    assert refused.status_code == 422
    assert [error["code"] for error in refused.json()["errors"]] == ["postal_address_missing"]
    await acme.ok("POST", "/campaigns", {"name": "receipts", **campaign(purpose="transactional")})
    await acme.ok("PUT", "/templates/mail", FOOTED)
    assert (await acme("POST", "/campaigns", {"name": "unset", **campaign()})).status_code == 422
    world.plane.set_tenant_settings(acme.id, brand={"address": "1 Example Street, Springfield"})
    await acme.ok("POST", "/campaigns", {"name": "after", **campaign()})
