"""Messages per second from events to a provider, each rendered and sent: as many as go, and p99 at a steady rate.

Every event triggers a campaign for a user of its own, who is decided about, written a mail and sent it: in MJML, or with
``--plain`` a line of HTML, which shows what sending costs. The other side of a provider is a server in this process, on
the same machine, that answers at once. Latency is from the acknowledgement of the event to the moment the provider has
the whole message.
"""

from __future__ import annotations

import asyncio
import base64
import json
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.benchmarks import load, report
from tests.benchmarks.bench_loop import BATCH, all_messages, event_of, percentiles, seconds_of
from tests.support.campaigning import closed, experiment, launch, person, send
from tests.support.counting_providers import HTTP, Counted, channel_of, http, mail
from tests.support.faulty_receivers import OPEN
from tests.support.stand import Stand, Tenant, running

CAMPAIGN, EVENT = "welcome", "Joined"
PROVIDERS = ("sink", "smtp", "sendgrid", "ses")
PLAIN = '<p>Hello {{ user.name }}, <a href="https://app.example.com/tips">three tips</a></p>'
MJML = """<mjml><mj-body><mj-section><mj-column><mj-text font-size="16px">Hello {{ user.name }}, three tips for you
</mj-text><mj-button href="https://app.example.com/tips">See them</mj-button></mj-column></mj-section><mj-section>
<mj-column><mj-text>1 Example Street, Springfield <a href="{{ unsubscribe_url }}">Unsubscribe</a></mj-text></mj-column>
</mj-section></mj-body></mjml>"""


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--messages", type=int, default=10_000, help="of each run at saturation")
    parser.add_argument("--rate", type=float, default=300.0, help="events per second of the steady run")
    parser.add_argument("--seconds", type=float, default=20.0, help="time of the steady run")
    parser.add_argument("--only", action="append", choices=PROVIDERS, help="this provider; may be repeated")
    parser.add_argument("--plain", action="store_true", help="a line of HTML instead of MJML")
    options = parser.parse_args()
    html = PLAIN if options.plain else MJML
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder), settings=OPEN) as stand:
        time.sleep(5)
        for name in options.only or PROVIDERS:
            with ExitStack() as stack:
                side = Side(stand, name, html, stack)
                side.at_once(500)  # loads code, makes connections
                figures[name] = {
                    "steady": side.steadily(options.rate, round(options.rate * options.seconds)),
                    "saturation": side.at_once(options.messages),
                }
                side.tenant.close()
                print(f"{name}: {figures[name]}", flush=True)
    report.publish(
        "throughput",
        figures,
        options.json,
        payload=f"one track event a user; 5 e-mail arms of one template ({'a line of HTML' if options.plain else 'MJML'}), 5 % holdout, 5 % uniform",
        durability="fdatasync before 2xx, file journal; attempts noted with fsync where the provider takes no keys",
        load_generator="in this process, with the providers' servers",
        rate_per_s=options.rate,
        shards=2,
    )


class Side:
    """A provider, and a tenant that sends through it."""

    def __init__(self, stand: Stand, name: str, html: str, stack: ExitStack) -> None:
        self.name = name
        self.tenant: Tenant = stand.tenant(name)
        self._stand = stand
        self._taken = Counted()
        self._n_users = 0
        if name != "sink":
            port = stack.enter_context(mail(self._taken) if name not in HTTP else http(name, self._taken))
            self.tenant.api.put("/v1/channels/email", json=channel_of(name, port)).raise_for_status()
        text = {"subject": "Hello {{ user.name }}", "html": html}
        template = {"channel": "email", "missing": "blank", "locales": {"en": text}}
        launch(self.tenant, CAMPAIGN, {"event": EVENT}, window_s=86_400, templates={"email": template})
        experiment(self.tenant, holdout=0.05, uniform=0.05)

    def at_once(self, n: int) -> dict[str, Any]:
        """Everything at once."""
        users, requests = self._people(n), []
        for first in range(0, n, BATCH):
            events = [json.loads(event_of(user)) | {"type": "track"} for user in users[first : first + BATCH]]
            requests.append(load.http_request("/v1/batch", json.dumps({"batch": events}).encode(), self._key()))
        began = time.time()
        asyncio.run(load.run(self._stand.port, iter(requests), 16))
        closed(self.tenant, CAMPAIGN, self._n_users, 600)
        taken = self._taken_at(users)
        took_s = max(taken.values()) - began
        return {"messages": len(taken), "seconds": round(took_s, 2), "sends_per_s": round(len(taken) / took_s)}

    def steadily(self, per_s: float, n: int) -> dict[str, Any]:
        """A steady stream."""
        users = self._people(n)
        requests = [load.http_request("/v1/track", event_of(user), self._key()) for user in users]
        answers = asyncio.run(load.paced(self._stand.port, requests, per_s))
        closed(self.tenant, CAMPAIGN, self._n_users, 120)
        taken = self._taken_at(users)
        told = dict(zip(users, answers, strict=True))
        return {
            "messages": len(taken),
            "acknowledged_to_taken_ms": percentiles([at - told[user].acknowledged_at for user, at in taken.items()]),
        }

    def _people(self, n: int) -> list[str]:
        users = [f"user-{self._n_users + number}" for number in range(n)]
        for first in range(0, n, BATCH):
            part = users[first : first + BATCH]
            send(self.tenant, *(person(user, self._n_users + first + at) for at, user in enumerate(part)))
        self._n_users += n
        return users

    def _key(self) -> str:
        return "Basic " + base64.b64encode(f"{self.tenant.write_key}:".encode()).decode()

    def _taken_at(self, users: list[str]) -> dict[str, float]:
        """When the provider had each user's message, seconds since 1970."""
        by_address = {f"{user}@example.com": user for user in users}
        if self.name == "sink":
            found = {message["address"]: seconds_of(message["received_at"]) for message in all_messages(self.tenant)}
        else:
            found = dict(self._taken.taken_at)
        return {by_address[address]: at for address, at in found.items() if address in by_address}


if __name__ == "__main__":
    main()
