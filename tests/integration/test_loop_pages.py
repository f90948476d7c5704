"""The pages and the metrics over what really happened."""

from __future__ import annotations

import httpx
import pytest

from tests.support.campaigning import closed, first_message, launch, link, messages, people, track, with_outcome
from tests.support.readers import PHONE
from tests.support.stand import Tenant

pytestmark = pytest.mark.cluster


def test_every_page_shows_what_happened(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    users = people(tenant, locale="de-DE")
    track(tenant, "Joined", *users)
    counted = closed(tenant, "welcome", len(users))
    message = first_message(tenant, "welcome")
    httpx.get(link(message, "o"), headers=PHONE)
    with_outcome(tenant, message["decision_id"], "opened")
    user, key = message["user_id"], message["send_key"]
    shown = {
        "": ["welcome"],
        "sink": [message["parts"]["subject"], key],
        f"sink/{key}": [message["address"], message["parts"]["subject"]],
        f"sink/{key}/html": [f"Hallo {user.title()}"],
        f"users/{user}": [message["decision_id"], "welcome"],
        f"decisions/{message['decision_id']}": ["opened", "email-", "policy"],
        "campaigns/welcome": [str(counted["sent"]), "Joined"],
    }
    with httpx.Client(base_url=tenant.stand.url, params={"tenant": tenant.name}, timeout=30) as viewer:
        for path, words in shown.items():
            page = viewer.get(f"/{path}")
            assert page.status_code == 200, (path, page.text)
            assert "default-src 'none'" in page.headers["content-security-policy"], path
            assert [word for word in words if word not in page.text] == [], (path, page.text)
        found = viewer.get("/find", params={"q": message["decision_id"]})
        assert (found.status_code, message["decision_id"] in found.headers["location"]) == (303, True)
        assert viewer.get("/decisions/dec_none").status_code == 404


def test_reading_a_message_on_the_page_opens_and_unsubscribes_nothing(tenant: Tenant) -> None:
    launch(tenant, "welcome", {"event": "Joined"})
    track(tenant, "Joined", *people(tenant))
    key = first_message(tenant, "welcome")["send_key"]
    page = httpx.get(f"{tenant.stand.url}/sink/{key}/html", params={"tenant": tenant.name})
    assert page.status_code == 200
    assert "/m/" not in page.text


def test_metrics_count_the_loop(tenant: Tenant) -> None:
    from prometheus_client.parser import text_string_to_metric_families

    launch(tenant, "welcome", {"event": "Joined"})
    users = people(tenant)
    track(tenant, "Joined", *users)
    closed(tenant, "welcome", len(users))
    track(tenant, "Paid", messages(tenant)[0]["user_id"])
    tenant.api.post("/v1/campaigns/welcome/pause").raise_for_status()
    asked = tenant.api.post("/v1/decisions", json={"campaign": "welcome", "user_id": users[0]}).json()
    assert asked["reason"] == "campaign_not_live"
    counted = closed(tenant, "welcome", len(users) + 1)
    text = httpx.get(f"{tenant.stand.url}/metrics").text
    samples = {
        (s.name, s.labels.get("outcome"), s.labels.get("reason")): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
        if s.labels.get("tenant") == tenant.name
    }
    assert samples["whisperer_candidates_total", None, None] == counted["candidates"]
    assert samples["whisperer_candidates_closed_total", "sent", ""] == counted["sent"]
    assert samples["whisperer_candidates_closed_total", "no_send", ""] == counted["no_send"]
    assert samples["whisperer_candidates_closed_total", "refused", "campaign_not_live"] == 1
    assert samples["whisperer_candidates_pending", None, None] == 0
    assert samples["whisperer_conversions_total", None, None] == 1
