"""A tenant's environments next to each other in a running installation, and a user's token through its front door."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import httpx
import pytest

from cluster.control_plane import ControlPlane
from cluster.launch import installation
from tests.support.stand import Stand, Tenant, until

pytestmark = pytest.mark.cluster


@pytest.fixture
def plane(stand: Stand) -> Iterator[ControlPlane]:
    record = installation.load(stand.data_dir)
    assert record.settings is not None
    with ControlPlane(record.settings.control_plane.url, keyring=record.keyring()) as plane:
        yield plane


@pytest.fixture
def beside(tenant: Tenant, plane: ControlPlane) -> Iterator[Tenant]:
    """The environment `test` of the tenant, with keys of its own."""
    made = plane.create_environment(tenant.id, "test")
    keys = {kind: plane.create_key(made.id, kind).key for kind in ("write", "secret")}
    environment = Tenant(tenant.stand, made.id, made.name, keys["write"], keys["secret"])
    yield environment
    environment.close()


def test_an_event_sent_with_a_key_of_one_environment_is_never_seen_in_the_other(tenant: Tenant, beside: Tenant) -> None:
    sent = ((beside, "ann", "Tried", "m1"), (tenant, "ann", "Bought", "m1"), (tenant, "bob", "Bought", "m2"))
    for sender, user, event, message_id in sent:
        answer = sender.post("track", {"userId": user, "event": event, "messageId": message_id})
        assert answer.status_code == 200, answer.text
    seen = {}
    for place in (tenant, beside):
        for user in ("ann", "bob"):
            found = place.user(user)
            seen[place.name, user] = None if found is None else found["event_counts"]
    assert seen == {
        (tenant.name, "ann"): {"Bought": 1},
        (tenant.name, "bob"): {"Bought": 1},
        (beside.name, "ann"): {"Tried": 1},
        (beside.name, "bob"): None,
    }
    status = tenant.stand.settled()["tenants"]
    assert [status[place.name]["events_accepted"] for place in (tenant, beside)] == [2, 1]


def test_a_key_made_over_http_works_at_once_and_a_revoked_one_ends(tenant: Tenant, plane: ControlPlane) -> None:
    manager = plane.create_key(tenant.id, "secret", scopes=["keys:write", "segments:read"]).key
    headers = {"Authorization": f"Bearer {manager}"}
    with httpx.Client(base_url=tenant.stand.url, headers=headers, timeout=60) as client:
        made = client.post("/v1/keys", json={"kind": "secret", "scopes": ["segments:read"]})
        assert made.status_code == 201, made.text
        theirs = {"Authorization": f"Bearer {made.json()['key']}"}
        assert client.get("/v1/segments", headers=theirs).status_code == 200
        assert client.get("/v1/keys", headers=theirs).status_code == 403
        assert client.delete(f"/v1/keys/{made.json()['id']}").status_code == 200
        until(lambda: client.get("/v1/segments", headers=theirs).status_code == 401, "the end of a revoked key")


def test_a_users_token_opens_their_own_preferences(tenant: Tenant, beside: Tenant) -> None:
    user = f"u/{uuid.uuid4()}.x"
    for place in (tenant, beside):
        assert place.post("identify", {"userId": user}).status_code == 200
    made = tenant.api.post("/v1/users/token", params={"user_id": user}, json={})
    assert made.status_code == 201, made.text
    headers = {"Authorization": f"Bearer {made.json()['token']}"}
    statement = {"channel": "email", "granted": False}
    with httpx.Client(base_url=tenant.stand.url, headers=headers, timeout=60) as browser:
        until(lambda: browser.get("/v1/me/consent").status_code == 200, "the tenant is known to every replica")
        assert browser.put("/v1/me/consent", json=statement).status_code == 200
        consent = browser.get("/v1/me/consent").json()["consent"]
        assert [(one["channel"], one["granted"], one["source"]) for one in consent] == [("email", False, "user")]
        assert browser.get("/v1/segments").status_code == 401
    assert (beside.user(user) or {})["consent"] == []
