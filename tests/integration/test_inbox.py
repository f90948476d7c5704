"""The in-app inbox of a running installation: from a campaign to a browser, and what the reader does back again."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.support.campaigning import SITE, closed, decision, launch, people, track
from tests.support.stand import Tenant, until

pytestmark = pytest.mark.cluster


def browser(tenant: Tenant, user: str) -> httpx.Client:
    made = tenant.api.post(f"/v1/users/{user}/token", json={"minutes": 10})
    made.raise_for_status()
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    return httpx.Client(base_url=f"{tenant.stand.url}/v1/users/", headers=headers, timeout=30)


def shown_to(tenant: Tenant, user: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        answer = tenant.api.get(f"/v1/users/{user}/inbox")
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found if found["data"] else None

    return until(look, f"a message to {user}")


def test_a_message_is_polled_seen_clicked_merged_exported_and_erased(tenant: Tenant) -> None:
    launch(tenant, "tips", {"event": "Joined"}, channel="inapp")
    ann, bob, *_ = people(tenant)
    track(tenant, "Joined", ann, bob)
    counted = closed(tenant, "tips", 2)
    assert counted["refused"] == {}
    sent = [user for user in (ann, bob) if (tenant.user(user) or {})["candidacies"][0]["status"] == "sent"]
    assert len(sent) == counted["sent"] > 0
    user = sent[0]
    [message] = shown_to(tenant, user)["data"]
    assert (message["title"], message["body"], message["state"]) == ("Tips", f"Hello {user.title()}", "unread")

    with browser(tenant, user) as theirs:
        first = theirs.get(f"{user}/inbox")
        assert (first.status_code, first.json()["unread"]) == (200, 1)
        known = {"If-None-Match": first.headers["etag"]}
        assert theirs.get(f"{user}/inbox", headers=known).status_code == 304
        other = next(one for one in (ann, bob) if one != user)
        assert theirs.get(f"{other}/inbox").status_code == 404
        assert theirs.post(f"{user}/inbox/{message['id']}/seen").json()["seen_at"] is not None
        assert theirs.post(f"{user}/inbox/{message['id']}/click", json={"action": 0}).json()["state"] == "read"
        after = theirs.get(f"{user}/inbox", headers=known)
        assert (after.status_code, after.json()["unread"]) == (200, 0)
    told = {(one["kind"], one["detail"]) for one in decision(tenant, message["id"])["outcomes"]}
    assert told == {("opened", None), ("clicked", f"{SITE}/tips")}

    shown = tenant.stand.json("user", "inbox", user, "--tenant", tenant.name, "--json")
    assert [one["id"] for one in shown["data"]] == [message["id"]]
    tenant.post("alias", {"userId": "carl", "previousId": user}).raise_for_status()
    until(lambda: shown_to(tenant, "carl")["data"] or None, "the merged inbox")
    assert shown_to(tenant, "carl")["data"] == shown_to(tenant, user)["data"]
    export = tenant.api.get("/v1/users/carl/export", timeout=120).json()
    assert [one["id"] for one in export["inbox"]] == [message["id"]]
    tenant.api.delete("/v1/users/carl").raise_for_status()
    for id in ("carl", user):
        until(lambda id=id: tenant.api.get(f"/v1/users/{id}/inbox").status_code == 404 or None, f"the end of {id}")  # type: ignore[misc]
