"""A tenant's campaigns for tests of the running loop: templates, definitions, people, and what came of them.

Campaigns have five arms that say the same and no holdout unless told otherwise, so that nearly everybody is written to
however a new policy chooses: of twelve people, nobody is left alone by all of the chances once in 10^9 runs.
"""

from __future__ import annotations

import re
from typing import Any

from tests.support.stand import Tenant, until

SITE = "https://app.example.com"
N_ARMS = 5

TEMPLATES: dict[str, dict[str, Any]] = {
    "email": {
        "channel": "email",
        "missing": "blank",
        "locales": {
            "en": {
                "subject": "Hello {{ user.name }}",
                "html": f'<p>Hello {{{{ user.name }}}}</p><p><a href="{SITE}/tips">Tips</a></p>',
            },
            "de": {
                "subject": "Hallo {{ user.name }}",
                "html": f'<p>Hallo {{{{ user.name }}}}</p><p><a href="{SITE}/tipps">Tipps</a></p>',
            },
        },
    },
    "sms": {"channel": "sms", "locales": {"en": {"text": f"Tips: {SITE}/tips"}}},
    "push": {"channel": "push", "locales": {"en": {"title": "Tips", "body": "Three of them"}}},
    "webhook": {"channel": "webhook", "locales": {"en": {"body": '{"hello": {{ user.name | json }}}'}}},
    "inapp": {
        "channel": "inapp",
        "locales": {
            "en": {
                "message": '{"kind": "card", "title": "Tips", "body": "Hello {{ user.name }}",'
                f' "actions": [{{"label": "Tips", "url": "{SITE}/tips"}}]}}'
            }
        },
    },
}


def definition(
    trigger: dict[str, Any], *, channel: str = "email", n_arms: int = N_ARMS, window_s: float = 3600, **more: Any
) -> dict[str, Any]:
    """A caller's JSON."""
    arms = [{"id": f"{channel}-{n}", "channel": channel, "template": channel} for n in range(n_arms)]
    return {"trigger": trigger, "goal": {"event": "Paid", "window_s": window_s}, "arms": arms, **more}


def experiment(tenant: Tenant, **shares: Any) -> None:
    tenant.api.put("/v1/experiment", json=shares).raise_for_status()


def launch(
    tenant: Tenant,
    name: str,
    trigger: dict[str, Any],
    *,
    templates: dict[str, dict[str, Any]] = TEMPLATES,
    **more: Any,
) -> dict[str, Any]:
    """Store the templates that a campaign needs, by channel, and the campaign, live. Everybody is the policy's."""
    body = definition(trigger, **more)
    for channel in {arm["channel"] for arm in body["arms"]}:
        tenant.api.put(f"/v1/templates/{channel}", json=templates[channel]).raise_for_status()
    experiment(tenant, holdout=0, uniform=0)
    answer = tenant.api.post("/v1/campaigns", json={"name": name, "publish": True, **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def person(user: str, number: int = 0, locale: str = "en-US", **traits: Any) -> dict[str, Any]:
    """An identify event of somebody whom every channel reaches."""
    known = {
        "name": user.title(),
        "email": f"{user}@example.com",
        "phone": f"+4915112{number:06d}",
        "push_token": f"token-of-{user}",
    }
    return {"type": "identify", "userId": user, "traits": known | traits, "context": {"locale": locale}}


def people(tenant: Tenant, n: int = 12, prefix: str = "ann", **more: Any) -> list[str]:
    """So many people, whose profiles are there when it returns."""
    users = [f"{prefix}-{i}" for i in range(n)]
    send(tenant, *(person(user, i, **more) for i, user in enumerate(users)))
    return users


def send(tenant: Tenant, *events: dict[str, Any]) -> None:
    answer = tenant.post("batch", {"batch": list(events)})
    assert answer.status_code == 200, answer.text
    assert not answer.json().get("rejected"), answer.text


def track(tenant: Tenant, event: str, *users: str, **properties: Any) -> None:
    send(tenant, *({"type": "track", "event": event, "userId": u, "properties": properties} for u in users))


def counts(tenant: Tenant, campaign: str) -> dict[str, Any]:
    """A campaign's accounting, which adds up whenever it is looked at."""
    answer = tenant.api.get(f"/v1/campaigns/{campaign}")
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()["counts"]
    closed = found["sent"] + found["no_send"] + sum(found["refused"].values())
    assert found["candidates"] == closed + found["pending"], found
    return found


def closed(tenant: Tenant, campaign: str, candidates: int, timeout_s: float = 60.0) -> dict[str, Any]:
    """The accounting once so many candidates are there and none is pending."""

    def look() -> dict[str, Any] | None:
        found = counts(tenant, campaign)
        assert found["candidates"] <= candidates, found
        return found if found["candidates"] == candidates and not found["pending"] else None

    return until(look, f"{candidates} candidates of {campaign}, none of them pending", timeout_s)


def messages(tenant: Tenant, **filters: Any) -> list[dict[str, Any]]:
    """What the sink has, newest first, at most 500."""
    answer = tenant.api.get("/v1/sink/messages", params={"limit": 500, **filters})
    answer.raise_for_status()
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


def first_message(tenant: Tenant, campaign: str) -> dict[str, Any]:
    return until(lambda: messages(tenant, campaign=campaign), f"a message of {campaign}")[0]


def decision(tenant: Tenant, decision_id: str) -> dict[str, Any]:
    answer = tenant.api.get(f"/v1/decisions/{decision_id}")
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found


def with_outcome(tenant: Tenant, decision_id: str, kind: str) -> dict[str, Any]:
    """A decision's audit once it tells of such an outcome."""

    def look() -> dict[str, Any] | None:
        found = decision(tenant, decision_id)
        return found if kind in {outcome["kind"] for outcome in found["outcomes"]} else None

    return until(look, f"{kind} on {decision_id}")


def link(message: dict[str, Any], kind: str) -> str:
    """The signed address of a kind, "o", "c" or "u", in a mail's HTML."""
    found = re.search(rf'"(http://[^"]+/m/{kind}/[^"]+)"', message["parts"]["html"])
    assert found is not None, message["parts"]["html"]
    return found[1]
