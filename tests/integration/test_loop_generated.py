"""A model writes messages of the running product, badly three times in ten: all are sent, once, and each says whose
words it has."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.support.campaigning import closed, experiment, messages, people, track
from tests.support.model_server import ModelServer, Step, filling, model_server
from tests.support.stand import Tenant, until

pytestmark = pytest.mark.cluster

N = 60
OWN = "Pick up where you left off."
GOOD = filling(subject="Your projects are waiting", lead="Hi [[user.name]], go on with your projects today.")
FAILURES = [Step(status=500), Step(text="garbage"), Step(raw=b"")]
SCRIPT = [FAILURES[n % 3] if n % 10 in (2, 5, 8) else GOOD for n in range(10 * N)]
TEMPLATE = {
    "channel": "email",
    "locales": {
        "en": {
            "subject": '{{ generated.subject | default: "Your projects" }}',
            "html": f'<html><body><p>{{{{ generated.lead | default: "{OWN}" }}}}</p>'
            '<a href="https://app.example.com/p">Open</a></body></html>',
        }
    },
}


@contextmanager
def serving(*steps: Step) -> Iterator[ModelServer]:
    """Run the scripted server in a thread of its own."""
    ready, ending = threading.Event(), threading.Event()
    found: list[ModelServer] = []

    async def run() -> None:
        async with model_server(*steps) as server:
            found.append(server)
            ready.set()
            await asyncio.to_thread(ending.wait)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(10)
        yield found[0]
    finally:
        ending.set()
        thread.join()


def test_all_messages_are_sent_while_a_generator_fails_3_times_in_10(tenant: Tenant) -> None:
    with serving(*SCRIPT) as server:
        settings = {"base_url": server.base_url, "model": "writer", "at_send_time": True, "requests_per_minute": 60_000}
        with tenant.stand.operator() as operator:
            operator.put(f"/internal/tenants/{tenant.id}/settings/generator", json=settings).raise_for_status()
        tenant.api.put("/v1/templates/written", json=TEMPLATE).raise_for_status()
        experiment(tenant, holdout=0, uniform=0)
        # What differs from user to user is asked about, so that no answer is kept for the next one.
        brief = {"brief": "Invite them back to their projects", "facts": ["user.name", "event.number"]}
        arms = [{"id": f"arm-{n}", "channel": "email", "template": "written", "generate": brief} for n in range(5)]
        body = {"trigger": {"event": "Looked"}, "goal": {"event": "Paid", "window_s": 3600}, "arms": arms}
        made = tenant.api.post("/v1/campaigns", json={"name": "written", "publish": True, **body})
        assert made.status_code == 201, made.text
        users = people(tenant, N)
        for number, user in enumerate(users):
            track(tenant, "Looked", user, number=number)
        counted = closed(tenant, "written", N)
        assert counted["refused"] == {}
        assert counted["sent"] + counted["no_send"] == N
        sent = messages(tenant, campaign="written")
        assert len(sent) == counted["sent"] > 0.6 * N  # about 5 of 6: not to send is a choice, too
        assert len({one["user_id"] for one in sent}) == len(sent)  # each once
        written = [one for one in sent if OWN not in one["parts"]["html"]]
        assert 0.4 < len(written) / len(sent) < 0.95
        for one in written:
            assert f"Hi {one['user_id'].title()}, go on with your projects today." in one["parts"]["html"]
        rulings: dict[str, str] = {}
        for one in sent:
            audit = tenant.api.get(f"/v1/decisions/{one['decision_id']}").json()["send"]
            assert audit["quality"] is not None
            rulings[one["user_id"]] = audit["generation"]["ruling"]
        for one in sent:
            assert (rulings[one["user_id"]] == "written") == (one in written)
        for user in users:
            assert user.title() not in server.text
            assert f"{user}@example.com" not in server.text

        def counted_by_metrics() -> bool:
            text = httpx.get(f"{tenant.stand.url}/metrics", timeout=30).text
            return any(
                line.startswith("whisperer_generation_total") and tenant.name in line and "written" in line
                for line in text.splitlines()
            )

        until(counted_by_metrics, "the content application's counts in the metrics")
