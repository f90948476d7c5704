"""Makes what has to be there before a call of the OpenAPI document can be made with the document's own examples."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pyotp

from actors.warehouse import Warehouse
from cluster.control_plane.coupons import Ask
from serve_apps.gateway.routes.catalogues import FIELDS, VALUES
from serve_apps.gateway.routes.deliveries import EXAMPLE as DELIVERY
from serve_apps.gateway.routes.examples import AUDIT, DECISION
from serve_apps.gateway.routes.generator import EXAMPLE as GENERATOR
from serve_apps.gateway.routes.templates import EXAMPLE as EMAIL
from tests.support.gateway_world import Caller, World, view
from tests.support.people import PASSWORD, invite, joined, member
from tests.unit.actors.warehouse.conftest import delivery, logged
from tests.unit.serve_apps.gateway.services.test_explanations import LOGGED, POLICY
from tests.unit.whisperer.decisions.making import ARMS
from tests.unit.whisperer.decisions.valuing import write_model
from tests.unit.whisperer.models.artifacts import artifact
from whisperer.access.permissions import SCOPES
from whisperer.decisions.posterior import encode
from whisperer.delivery.dispatch import Dispatch
from whisperer.ids import known_key
from whisperer.journeys.schema import EXAMPLE as CAMPAIGN
from whisperer.models.loading import load

PUSH = {"channel": "push", "locales": {"en": {"title": "Tips", "body": "Three of them"}}}
ADA = "ada@example.com"


class Prepared:
    """A tenant and what was made in it.

    Attributes
    ----------
    values : of parameters whose example is an id that only the installation gives out
    body : members of the body for which the same is true, or that are secret
    bearer : who calls; the tenant's key unless it is said
    """

    def __init__(self, world: World, folder: Path) -> None:
        self.world, self.folder = world, folder
        n = len(world.plane.list_tenants())
        self.email = f"ada-{n}@example.com"
        tenant = world.tenant(f"acme-{n}")
        self.key = world.plane.create_key(tenant.id, "secret", scopes=sorted(SCOPES)).key
        self.caller = Caller(world, tenant.id, "/v1", self.key)
        self.values: dict[str, Any] = {}
        self.body: dict[str, Any] = {}
        self.bearer = self.key

    @property
    def tenant_id(self) -> str:
        return self.caller.id

    async def person(self) -> None:
        """Somebody signs in, who calls from now on."""
        made = member(self.world.plane, self.tenant_id, self.email, "owner", PASSWORD)
        body = {"grant_type": "password", "username": self.email, "password": PASSWORD}
        token = await self.caller.ok("POST", "/auth/token", body, headers={"Authorization": ""})
        self.bearer = token["access_token"]
        self.values["member_id"] = made.id


Prepare = Callable[[Prepared], Awaitable[None]]


async def dead_letter(has: Prepared) -> None:
    """A message whose every attempt failed."""
    now = time.time_ns() // 1_000_000
    fields = {"status": "retry", "reason": "delivery_expired", "provider": "smtp", "attempt": 8, "provider_id": ""}
    row = delivery("u:u-17", AUDIT["id"], now, tenant=has.tenant_id, campaign="trial-welcome", **fields)
    row = msgspec.structs.replace(row, send_key=DELIVERY["id"])
    shard = 10 + len(has.world.plane.list_tenants())
    await asyncio.to_thread(Warehouse(has.world.warehouse).export, shard, 0, 100, [logged(1, row)])
    has.world.shards.replays[AUDIT["id"]] = "replayed"


async def user(has: Prepared) -> None:
    has.world.user(has.caller, "u-17")


async def inbox(has: Prepared) -> None:
    more = {"image": "https://app.example.com/tips.png", "expires_at": 1_900_000_000_000}
    has.world.message(has.caller, "u-17", DECISION["decision_id"], **more)


async def templates(has: Prepared) -> None:
    for name, body in {"tips-email": EMAIL, "offer-email": EMAIL, "nudge-push": PUSH}.items():
        await has.caller.ok("PUT", f"/templates/{name}", body)


async def test_recipient(has: Prepared) -> None:
    has.world.plane.set_tenant_settings(has.tenant_id, test_recipients={"email": ["tests@example.com"]})


async def campaign(has: Prepared) -> None:
    await has.caller.ok("POST", "/campaigns", {"name": "trial-welcome", "publish": True, **CAMPAIGN})


async def ready_campaign(has: Prepared) -> None:
    await templates(has)
    await campaign(has)


async def paused(has: Prepared) -> None:
    await has.caller.ok("POST", "/campaigns/trial-welcome/pause")


async def second_version(has: Prepared) -> None:
    await has.caller.ok("PUT", "/campaigns/trial-welcome", CAMPAIGN | {"publish": True, "purpose": "other"})


async def segment(has: Prepared) -> None:
    body = {"predicate": {"event": "Order Completed", "op": "gte", "count": 2, "days": 30}}
    await has.caller.ok("PUT", "/segments/regulars", body)


async def policy(has: Prepared) -> None:
    folder = artifact(has.folder / "offers-2", "offers", 2)
    has.world.models.put(has.tenant_id, folder, load(folder).manifest)


async def registered(has: Prepared) -> None:
    await has.caller.ok("POST", "/policies", {"name": "offers", "version": 2})


async def next_versions(has: Prepared) -> None:
    await has.caller.ok("PUT", "/templates/tips-email", EMAIL | {"missing": "refuse"})
    await has.caller.ok("PUT", "/segments/regulars", {"predicate": {"event": "Order Completed"}})


async def candidate(has: Prepared) -> None:
    promoted = await has.caller.ok("POST", "/policies/offers/promote", {"version": 2})
    has.body["since"] = promoted["since"]


async def draft(has: Prepared, plural: str, name: str) -> None:
    body: dict[str, Any] = {
        "campaigns": CAMPAIGN,
        "templates": EMAIL | {"missing": "refuse"},
        "segments": {"predicate": {"event": "Order Completed"}},
        "policies": {"version": 2},
    }[plural]
    await has.caller.ok("PUT", f"/{plural}/{name}/draft", body)


async def review(has: Prepared) -> None:
    await draft(has, "templates", "tips-email")
    has.values["review_id"] = (await has.caller.ok("POST", "/templates/tips-email/submit", {}))["id"]


async def report(has: Prepared) -> None:
    definition = {"campaigns": ["trial-welcome"], "metric": "lift_by_day", "period": {"last_days": 30}}
    await has.caller.ok("POST", "/reports", {"name": "weekly", "definition": definition})


async def supplies(has: Prepared) -> None:
    await has.caller.ok("PUT", "/catalogues/products", {"fields": FIELDS})
    await has.caller.ok("PUT", "/catalogues/products/items/p-1", {"values": VALUES})
    await has.caller.ok("PUT", "/coupon-pools/spring", {"description": "10 % off in spring"})


async def given_codes(has: Prepared) -> None:
    codes = [f"SPRING-{n}" for n in range(3)]
    await has.caller.ok("POST", "/coupon-pools/spring/codes", codes)
    asks = [Ask("spring", "trial-welcome", known_key("u-17"))]
    has.world.plane.give_codes(has.caller.id, asks, 1_769_850_000_000)


async def key(has: Prepared) -> None:
    has.values["key_id"] = (
        await has.caller.ok("POST", "/keys", {"kind": "secret", "label": "site", "scopes": ["users:read"]})
    )["id"]


async def mate(has: Prepared) -> None:
    joined(has.world.plane, has.caller.id, f"grace-{has.email}", "owner")  # type: ignore[arg-type]
    has.values["member_id"] = member(has.world.plane, has.tenant_id, has.email, "viewer").id


async def invitation(has: Prepared) -> None:
    made = await has.caller.ok("POST", "/invitations", {"email": "grace@example.com", "role": "viewer"})
    has.values["invitation_id"] = made["id"]


async def role(has: Prepared) -> None:
    await has.caller.ok("POST", "/roles", {"name": "copywriter", "permissions": ["campaigns:read"]})


async def environment(has: Prepared) -> None:
    await has.caller.ok("POST", "/environments", {"name": "test"})


async def issuer(has: Prepared) -> None:
    body = {"issuer": "https://login.example.com", "client_id": f"whisperer-{has.tenant_id}"}
    has.values["issuer"] = (await has.caller.ok("POST", "/issuers", body))["id"]


async def message(has: Prepared) -> None:
    sent = Dispatch(
        AUDIT["send"]["send_key"], DECISION["decision_id"], has.tenant_id, "u:u-17", "trial-welcome", "email", ADA,
        {"subject": "Hello", "text": "Hi"}, {"List-Unsubscribe": "<https://app.example.com/m/u/x>"}, "en", "9f2c", 0, 1,
    )  # fmt: skip
    has.world.sink.accept([sent], now=1_769_850_000_000)


async def decision(has: Prepared) -> None:
    id = DECISION["decision_id"]
    has.world.shards.decisions[f"{has.tenant_id}/{id}"] = view(id, "u:u-17", "trial-welcome")


async def explained(has: Prepared) -> None:
    folder = has.folder / "model"
    has.world.models.put(has.tenant_id, folder, write_model(folder, 3, name="trial-welcome"))
    await has.caller.ok("POST", "/policies", {"name": "trial-welcome", "version": 3})
    has.world.learner.policies = encode([((has.tenant_id, "trial-welcome"), POLICY)])
    told = {"arm": "mail", "arms": ARMS, "features": LOGGED, "policy_version": "trial-welcome@42+trial-welcome@3"}
    id = DECISION["decision_id"]
    has.world.shards.decisions[f"{has.tenant_id}/{id}"] = view(id, "u:u-17", "trial-welcome", **told)


async def simulation(has: Prepared) -> None:
    has.values["id"] = (await has.caller.ok("POST", "/campaigns/trial-welcome/simulate", {}))["id"]


async def exported(has: Prepared) -> None:
    body = {"of": "events", "format": "csv"}
    has.values["export_id"] = (await has.caller.ok("POST", "/exports", body))["id"]


async def entry(has: Prepared) -> None:
    has.values["serial"] = (await has.caller.ok("GET", "/audit"))["data"][0]["serial"]


async def person(has: Prepared) -> None:
    await has.person()


async def users_token(has: Prepared) -> None:
    await has.world.parts.overview.reload()
    has.bearer = (await has.caller.ok("POST", "/users/u-17/token", {}))["token"]


async def sign_in(has: Prepared) -> None:
    headers = {"Authorization": f"Bearer {has.bearer}"}
    [one] = (await has.caller.ok("GET", "/auth/sessions", headers=headers))["data"]
    has.values["sign_in"] = one["id"]


async def own_password(has: Prepared) -> None:
    has.body |= {"password": PASSWORD}


async def changed_password(has: Prepared) -> None:
    has.body |= {"current": PASSWORD}


async def second_factor(has: Prepared) -> None:
    made = has.world.plane.begin_second_factor(has.values["member_id"])
    has.body["code"] = pyotp.TOTP(made.secret).now()


async def confirmed(has: Prepared) -> None:
    await second_factor(has)
    has.world.plane.confirm_second_factor(has.values["member_id"], has.body["code"])


async def mail_server(has: Prepared) -> None:
    config = {"host": "mail.example.com", "sender": "ada@example.com"}
    await has.caller.ok("PUT", "/channels/email", {"provider": "smtp", "config": config})


async def generator(has: Prepared) -> None:
    has.world.plane.set_generator(has.tenant_id, GENERATOR | {"api_key": "sk-example"})  # pragma: allowlist secret


async def client(has: Prepared) -> None:
    has.body["client_secret"] = has.key


async def invited(has: Prepared) -> None:
    has.body["token"] = invite(has.world.plane, has.tenant_id, "viewer", f"new-{has.email}")
    has.body["email"] = f"new-{has.email}"


async def reset(has: Prepared) -> None:
    await mate(has)
    made = await has.caller.ok("POST", f"/members/{has.values['member_id']}/password-reset")
    has.body["token"] = made["url"].partition("token=")[2]


def _drafts(plural: str, name: str) -> Prepare:
    async def write(has: Prepared) -> None:
        await draft(has, plural, name)

    return write


_NAMED = {"campaigns": "trial-welcome", "templates": "tips-email", "segments": "regulars", "policies": "offers"}
NEEDS: list[tuple[str, Prepare]] = [
    (r"(GET|PUT|DELETE) /v1/me/.*|.* /v1/users.*|POST /v1/decisions", user),
    (r".* /v1/me/.*", users_token),
    (r".* /v1/users/.*/inbox.*", inbox),
    (r".* /v1/(campaigns|templates).*|.* /v1/reports.*|POST /v1/decisions|.*/reviews/.*", templates),
    (r".* /v1/campaigns/(?!bulk).*|GET /v1/campaigns|.* /v1/reports.*|POST /v1/decisions", campaign),
    (r"POST /v1/templates/.*/test", test_recipient),
    (r"POST /v1/campaigns/.*/resume", paused),
    (r"POST /v1/campaigns/.*/rollback", second_version),
    (r".*/simulations.*", simulation),
    (r"(GET|PUT|DELETE|POST) /v1/segments/.*|GET /v1/segments", segment),
    (r"POST /v1/(templates|segments)/.*/rollback", next_versions),
    (r".* /v1/policies.*", policy),
    (r"(GET|PUT|DELETE) /v1/policies.*|POST /v1/policies/.*", registered),
    (r".* /v1/policies/.*/(rollback|tallies|history)", candidate),
    *((rf".* /v1/{plural}/.*/(draft|submit|diff|publish)", _drafts(plural, name)) for plural, name in _NAMED.items()),
    (r"GET /v1/reviews|.* /v1/reviews/.*", review),
    (r".* /v1/reports/.*|GET /v1/reports", report),
    (r".* /v1/(catalogues|coupon-pools)/.*|GET /v1/(catalogues|coupon-pools)", supplies),
    (r"GET /v1/coupon-pools/.*/given", given_codes),
    (r".* /v1/keys/.*", key),
    (r".* /v1/members/.*|GET /v1/members", mate),
    (r".* /v1/invitations/.*|GET /v1/invitations", invitation),
    (r".* /v1/roles/.*", role),
    (r".* /v1/environments/.*", environment),
    (r".* /v1/issuers/.*|GET /v1/issuers", issuer),
    (r".* /v1/sink/.*", message),
    (r"GET /v1/decisions/[^/]*", decision),
    (r"GET /v1/decisions/.*/explanation", explained),
    (r"(GET|DELETE) /v1/exports.*", exported),
    (r"POST /v1/deliveries/.*/replay", dead_letter),
    (r"GET /v1/audit/\{serial\}", entry),
    (
        r".* /v1/auth/(session|sessions|password|second-factor)(/.*)?|.*/reviews/.*/(approve|reject)|POST /v1/invitations",
        person,
    ),
    (r"DELETE /v1/auth/sessions/.*", sign_in),
    (r"POST /v1/auth/second-factor(/remove)?", own_password),
    (r"POST /v1/auth/password", changed_password),
    (r"POST /v1/auth/second-factor/confirm", second_factor),
    (r"POST /v1/auth/second-factor/remove", confirmed),
    (r"POST /v1/channels/.*", mail_server),
    (r"(GET|DELETE) /v1/settings/generator", generator),
    (r"POST /v1/auth/token", client),
    (r"POST /v1/auth/invitations/accept", invited),
    (r"POST /v1/auth/password-resets/accept", reset),
]
"""What a call needs, in this order, by a pattern of its method and path."""


async def prepared(world: World, folder: Path, method: str, path: str) -> Prepared:
    """Make what a call needs."""
    has = Prepared(world, folder)
    for pattern, make in NEEDS:
        if re.fullmatch(pattern, f"{method.upper()} {path}"):
            await make(has)
    return has
