"""Messages of the running product with items of a catalogue, the user's latest events, and a coupon each."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.campaigning import closed, definition, experiment, messages, people, track
from tests.support.stand import Tenant, until

pytestmark = pytest.mark.cluster

TEXT = (
    '{% assign seen = recent["Product Viewed"] | map: "product_id" %}'
    '{% catalogue picks from "products" where id in seen and price < 50 limit 2 %}'
    "{% for one in picks %}{{ one.name }} {% else %}nothing {% endfor %}{% coupon 'spring' %}"
)


def ok(answer: Any) -> Any:
    assert answer.is_success, answer.text
    return answer.json()


def launch(tenant: Tenant, text: str, *codes: str) -> None:
    """A live campaign of messages with this text, and a pool with these codes."""
    ok(tenant.api.put("/v1/catalogues/products", json={"fields": {"name": "string", "price": "number"}}))
    table = "id,name,price\nhat,Hat,20\nboots,Boots,80\nscarf,Scarf,30\n"
    ok(tenant.api.post("/v1/catalogues/products/items", content=table, headers={"Content-Type": "text/csv"}))
    ok(tenant.api.put("/v1/coupon-pools/spring", json={}))
    ok(tenant.api.post("/v1/coupon-pools/spring/codes", json=list(codes)))
    ok(tenant.api.put("/v1/templates/sms", json={"channel": "sms", "locales": {"en": {"text": text}}}))
    experiment(tenant, holdout=0, uniform=0)
    body = {"name": "offers", "publish": True, **definition({"event": "Joined"}, channel="sms")}
    ok(tenant.api.post("/v1/campaigns", json=body))


def test_each_message_has_items_by_what_its_user_saw_and_a_code_of_its_own(tenant: Tenant) -> None:
    codes = [f"SPRING-{n:02d}" for n in range(5)]
    launch(tenant, TEXT, *codes)
    users = people(tenant, 12)
    for user, product in zip(users, ["hat", "boots", "scarf"] * 4, strict=True):
        track(tenant, "Product Viewed", user, product_id=product)
    shown = ok(tenant.api.post("/v1/templates/sms/preview", json={"user_id": users[0]}))
    assert shown["parts"]["text"] == "Hat PREVIEWXX"
    track(tenant, "Joined", *users)
    counted = closed(tenant, "offers", len(users))
    found = {message["user_id"]: message["parts"]["text"] for message in messages(tenant)}
    assert len(found) == counted["sent"] == 5
    given = ok(tenant.api.get("/v1/coupon-pools/spring/given"))["data"]
    by_user = {one["user_id"]: one["code"] for one in given}
    assert sorted(by_user.values()) == codes
    wanted = dict(zip(users, ["Hat", "nothing", "Scarf"] * 4, strict=True))
    assert found == {user: f"{wanted[user]} {code}" for user, code in by_user.items()}
    assert counted["refused"]["coupons_exhausted"] == len(users) - 5 - counted["no_send"]
    erased = next(iter(by_user))
    ok(tenant.api.delete(f"/v1/users/{erased}"))
    gone = next(
        one for one in ok(tenant.api.get("/v1/coupon-pools/spring/given"))["data"] if one["code"] == by_user[erased]
    )
    assert gone["user_id"] is None


def test_a_changed_item_is_in_the_next_messages(tenant: Tenant) -> None:
    text = '{% catalogue p from "products" where id == "hat" %}{{ p.first.name }}'
    launch(tenant, text, "A")
    users = people(tenant, 12)
    track(tenant, "Joined", users[0])
    closed(tenant, "offers", 1)
    ok(tenant.api.put("/v1/catalogues/products/items/hat", json={"values": {"name": "Cap", "price": 20}}))
    rest = iter(users[1:])

    def look() -> bool:
        track(tenant, "Joined", next(rest))
        return any(message["parts"]["text"] == "Cap" for message in messages(tenant))

    until(look, "a message with the new name")
