"""What becomes of a user beyond the shard when it is erased, and what an export holds."""

from __future__ import annotations

import msgspec
import pytest

from cluster.control_plane import ShortLink
from serve_apps.gateway.services.profile import PROFILE_FIELDS
from tests.support.gateway_world import Caller, World
from whisperer.delivery.dispatch import Dispatch
from whisperer.ids import UserKey


def message(tenant: Caller, user_key: str, send_key: str) -> Dispatch:
    parts = {"text": "hello"}
    return Dispatch(
        send_key, "dec_1", tenant.id, user_key, "welcome", "sms", "+491511234567", parts, {}, "en", "hash", 0, 1
    )


async def test_erasing_a_user_takes_what_was_sent_out_of_the_sink(world: World, acme: Caller) -> None:
    world.user(acme, "ann", anonymous_ids=["dev"])
    kept = [
        ShortLink(n * 12, acme.id, UserKey(key), "t", 2**50)
        for n, key in zip("abc", ("u:ann", "a:dev", "u:bob"), strict=True)
    ]
    world.plane.keep_short_links(kept, 1)
    sent = [message(acme, key, f"snd_{n}") for n, key in enumerate(("u:ann", "a:dev", "u:bob"))]
    world.sink.accept(sent, now=1)
    assert (await acme("DELETE", "/users/ann")).status_code == 200
    assert [m.user_key for m in world.sink.messages(acme.id)] == ["u:bob"]
    assert [world.plane.short_link(n * 12) for n in "abc"] == [None, None, "t"]


async def test_the_status_says_when_the_learner_does_not_answer(world: World) -> None:
    found = await world.parts.overview.status()
    assert found.learner.state == "away"


@pytest.mark.parametrize("address", ["/users/ann?fields={}", "/users?user_id=ann&fields={}"])
async def test_a_profile_has_the_fields_that_were_asked_for_and_the_id(
    world: World, acme: Caller, address: str
) -> None:
    world.user(acme, "ann", traits={"plan": msgspec.Raw(b'"team"')})
    whole = await acme.ok("GET", "/users/ann")
    assert set(whole) == PROFILE_FIELDS
    for fields in (["traits"], ["segments", "timeline"], ["user_id"], sorted(PROFILE_FIELDS)):
        found = await acme.ok("GET", address.format(",".join(fields)))
        assert found == {name: whole[name] for name in {*fields, "user_id"}}
    assert await acme.problem("GET", address.format("traits,colour")) == (400, "unknown_field")
    assert await acme.problem("GET", address.format("")) == (400, "unknown_field")
    asked = [call[-1] for call in world.shards.called("user")]
    assert asked == [True, False, True, False, True]
