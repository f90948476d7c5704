"""A first campaign with httpx: template, campaign, users who trigger it, the sink, an audit, questions, the report.

WRITE_KEY=wk_... SECRET_KEY=sk_... python examples/first_campaign.py
URL=http://127.0.0.1:8000 is the default. Nothing leaves the machine: until a channel has another provider, messages
land in the built-in sink. Run it again, and the template and the campaign get a next version.
"""

import os
import time
from typing import Any

import httpx

CAMPAIGN = "first-campaign-in-python"

TEMPLATE = {
    "channel": "email",
    "defaults": {"name": "there"},
    "locales": {
        "en": {
            "subject": "Hello {{ user.name }}",
            "html": "<p>{% if offer %}{{ offer.percent | percent }} off. {% endif %}"
            '<a href="https://example.com/tips">Three tips to begin with</a></p>',
        },
        "ja": {
            "subject": "{{ user.name }}さん、ようこそ",
            "html": "<p>{% if offer %}{{ offer.percent | percent }}オフ。{% endif %}"
            '<a href="https://example.com/tips">はじめの三つのヒント</a></p>',
        },
    },
}
DEFINITION = {
    "trigger": {"event": "Course Started"},
    "audience": {"trait": "email", "op": "exists"},
    "goal": {"event": "Course Finished", "window": "7d", "unsubscribe_cost": 0.5},
    "arms": [
        {"id": "tips", "channel": "email", "template": "welcome"},
        {"id": "tips-and-offer", "channel": "email", "template": "welcome", "offer": {"percent": 20}, "cost": 0.1},
    ],
    "caps": [{"most": 2, "per": "rolling", "hours": 168, "scope": "tenant"}],
    "quiet_hours": None,
}


def main(url: str, write_key: str, secret_key: str) -> None:
    with (
        httpx.Client(base_url=url, auth=(write_key, "")) as events,
        httpx.Client(base_url=url, headers={"Authorization": f"Bearer {secret_key}"}, timeout=30) as api,
    ):
        done(api.put("/v1/templates/welcome", json=TEMPLATE))
        campaign = done(api.put(f"/v1/campaigns/{CAMPAIGN}", json={**DEFINITION, "publish": True}))
        print(f"live, version {campaign['version']}: {campaign['description']}")

        users = [f"student-{n:02}" for n in range(20)]
        done(events.post("/v1/batch", json={"batch": [event for user in users for event in story(user)]}))
        receipt = first_message(api)
        print(f"\nto {receipt['address']} ({receipt['locale']}): {receipt['parts']['subject']}")

        decision = done(api.get(f"/v1/decisions/{receipt['decision_id']}"))
        print(f"\n{decision['user_id']} was in group {decision['group']}, by {decision['policy_version']}:")
        for arm, propensity in zip(decision["arms"], decision["propensities"], strict=True):
            print(f"  {'>' if arm == decision['arm'] else ' '} {arm:<15} {propensity:.1%}")

        asked = {"campaign": CAMPAIGN, "user_ids": users[:5], "occurrence": "a-question"}
        print("\nasked again, for five of them by name:")
        for answer in done(api.post("/v1/decisions", json=asked))["data"]:
            print(f"  {answer['user_id']}: {answer['status']} {answer['arm'] or answer['reason_text']}")

        done(events.post("/v1/track", json={"userId": decision["user_id"], "event": "Course Finished"}))
        report = done(api.get(f"/v1/campaigns/{CAMPAIGN}/report"))
        refused = sum(report["refused"].values())
        print(
            f"\n{report['candidates']} candidates = {report['sent']} sent + {report['no_send']} no_send + "
            f"{refused} refused + {report['pending']} pending; {report['conversions']} converted"
        )
        print(f"lift over the holdout: {report['lift'].get('not_yet') or report['lift']['difference']}")


def story(user: str) -> list[dict[str, Any]]:
    """Somebody signs up and begins a course."""
    traits = {"name": user.title(), "email": f"{user}@example.com"}
    context = {"locale": "ja-JP", "timezone": "Asia/Tokyo"}
    return [
        {"type": "identify", "userId": user, "traits": traits, "context": context},
        {"type": "track", "userId": user, "event": "Course Started", "properties": {"course": "Chess"}},
    ]


def first_message(api: httpx.Client, patience_s: float = 20.0) -> dict[str, Any]:
    """The oldest message that the sink has of the campaign."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        page = done(api.get("/v1/sink/messages", params={"campaign": CAMPAIGN, "after": 0, "limit": 1}))
        if page["data"]:
            return page["data"][0]
        time.sleep(0.1)
    raise SystemExit(f"no message within {patience_s:.0f} s")


def done(answer: httpx.Response) -> Any:
    """The answer's document. What is wrong with a template or a campaign is said in full, every problem at once."""
    if answer.is_error:
        raise SystemExit(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text}")
    return answer.json()


if __name__ == "__main__":
    main(os.environ.get("URL", "http://127.0.0.1:8000"), os.environ["WRITE_KEY"], os.environ["SECRET_KEY"])
