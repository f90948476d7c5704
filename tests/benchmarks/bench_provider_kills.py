"""kill -9 at every step of a send, for every provider at once: lost, doubled, unknown, by each provider's own count.

In each round a few new users of each provider's tenant are triggered once, and something is killed at one step:

    prepare   the shard, once the triggers are acknowledged
    render    the content application, while it renders
    dispatch  the delivery application, while providers have requests that they have not taken
    accepted  the delivery application, while providers have taken messages that they have not answered
    confirm   the shard, once the first answers are given

A provider counts by the recipient, a webhook's by `webhook-id`. `lost`: neither taken nor said to be unknown, refused
or not sent. `doubled`: recipients with more than one message. `unknown`: taken or not, the product says that it does
not know, and does not send again. `looked_for`: the same, while the provider is still asked for it.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.benchmarks import report
from tests.support.campaigning import counts, launch, messages, send, track
from tests.support.counting_providers import CHANNELS, HTTP, TAKES_KEYS, Counted, channel_of, http, mail, someone
from tests.support.faulty_receivers import OPEN
from tests.support.stand import Stand, Tenant, running, until
from whisperer.delivery.providers import PROVIDERS

EVENT, CAMPAIGN = "Joined", "welcome"
STEPS = ("prepare", "render", "dispatch", "accepted", "confirm")
VICTIMS = {
    "render": "ray::ServeReplica:content",
    "dispatch": "ray::ServeReplica:delivery",
    "accepted": "ray::ServeReplica:delivery",
}
HELD = {"dispatch": "before", "accepted": "after"}
REACHED_S = 5.0
"""Longest wait for providers to have what is to be held."""


@dataclass
class Side:
    """A provider, and the tenant that sends through it."""

    name: str
    tenant: Tenant
    port: int
    taken: Counted
    users: list[str] = field(default_factory=list)

    def trigger(self, n_users: int) -> None:
        first = len(self.users)
        new = [someone(self.name, self.port, first + i) for i in range(n_users)]
        send(self.tenant, *new)
        users = [event["userId"] for event in new]
        track(self.tenant, EVENT, *users)
        self.users += users

    def account(self) -> dict[str, Any]:
        counted = counts(self.tenant, CAMPAIGN)
        copies = self._copies()
        unknown = counted.get("unknown") or 0
        return {
            "triggered": len(self.users),
            "candidates": counted["candidates"],
            "sent": counted["sent"],
            "of_them_unknown": unknown,
            "looked_for": counted["pending"],
            "no_send": counted["no_send"],
            "refused": counted["refused"],
            "taken": len(copies),
            "doubled": sum(n > 1 for n in copies.values()),
            "lost": len(self.users) - counted["candidates"] + max(0, counted["sent"] - unknown - len(copies)),
        }

    def _copies(self) -> dict[str, int]:
        match self.name:
            case "sink":
                after, found = 0, {}
                while page := messages(self.tenant, after=after):
                    for message in page:
                        found[message["address"]] = found.get(message["address"], 0) + 1
                    after = page[-1]["serial"]
                return found
            case "inbox":
                return {user: n for user in self.users if (n := len(self._entries(user)))}
            case "webhook":
                return dict.fromkeys(self.taken.n_copies, 1)  # a receiver takes each id once
        return dict(self.taken.n_copies)

    def _entries(self, user: str) -> list[Any]:
        answer = self.tenant.api.get(f"/v1/users/{user}/inbox")
        answer.raise_for_status()
        entries: list[Any] = answer.json()["data"]
        return entries


def round_(stand: Stand, sides: list[Side], step: str, number: int, n_users: int) -> float:
    """One kill; the seconds until everybody has an end again."""
    networked = [side for side in sides if side.port]
    for side in networked:
        side.taken.hold = HELD.get(step, "")
    arrived = sum(side.taken.n_arrived for side in networked)
    answered = sum(side.taken.n_answered for side in networked)
    pause = random.random() * 0.05
    if step in ("render", "dispatch", "accepted"):
        victims = until(lambda: stand.processes(VICTIMS[step]), f"a process {VICTIMS[step]}", 120)
    else:
        pid = until(lambda: stand.status()["shards"][number % stand.shards].get("pid"), "a shard", 120)
        victims = [psutil.Process(pid)]
    for side in sides:
        side.trigger(n_users)
    try:
        match step:
            case "prepare" | "render":
                time.sleep(pause)
            case "dispatch" | "accepted":
                _reached(lambda: sum(side.taken.n_arrived for side in networked) >= arrived + n_users * len(networked))
            case "confirm":
                _reached(lambda: sum(side.taken.n_answered for side in networked) > answered)
                time.sleep(pause / 10)
        for victim in victims:
            victim.kill()
        psutil.wait_procs(victims, 30)
    finally:
        for side in networked:
            side.taken.hold = ""
    began = time.monotonic()
    until(lambda: all(_closed(side) for side in sides), "an end of everything", 180)
    return time.monotonic() - began


def _reached(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + REACHED_S
    while not look() and time.monotonic() < deadline:
        time.sleep(0.005)


def _closed(side: Side) -> bool:
    try:
        counted = counts(side.tenant, CAMPAIGN)
    except httpx.HTTPError:  # the shard that was killed is not back yet
        return False
    if counted["candidates"] < len(side.users):
        return False
    # What is looked for has no end for an hour, and is not sent meanwhile.
    return not counted["pending"] or (PROVIDERS[side.name].searches and counted["pending"] <= _n_unknown(side))


def _n_unknown(side: Side) -> int:
    answer = side.tenant.api.get("/v1/deliveries", params={"status": "unknown", "limit": 500})
    return len(answer.json()["data"]) if answer.is_success else 0


def main() -> int:
    parser = report.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="in all, a fifth of them for each step")
    parser.add_argument("--users", type=int, default=3, help="triggered for each provider in each round")
    parser.add_argument(
        "--only", action="append", default=[], choices=list(CHANNELS), help="this provider; may be repeated"
    )
    options = parser.parse_args()
    names = options.only or list(CHANNELS)
    again: dict[str, list[float]] = {step: [] for step in STEPS}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        ExitStack() as stack,
        running(Path(folder), settings=OPEN) as stand,
    ):
        sides = [side_of(stand, name, stack) for name in names]
        for number in range(options.rounds):
            step = STEPS[number % len(STEPS)]
            again[step].append(round_(stand, sides, step, number // len(STEPS), options.users))
            print(f"{number + 1} of {options.rounds}: {step}, {again[step][-1]:.1f} s", file=sys.stderr, flush=True)
        stand.settled()
        found = {side.name: side.account() for side in sides}
        for side in sides:
            side.tenant.close()
    report.publish(
        "provider_kills",
        {
            "rounds": options.rounds,
            "providers": found,
            "lost": sum(one["lost"] for one in found.values()),
            "doubled": sum(one["doubled"] for one in found.values()),
            "ended_again_s": {step: round(sum(s) / len(s), 1) for step, s in again.items() if s},
        },
        options.json,
        durability="fdatasync before 2xx, file journal",
        shards=2,
        take_keys=TAKES_KEYS,
    )
    return int(any(one["lost"] or one["doubled"] for one in found.values()))


def side_of(stand: Stand, name: str, stack: ExitStack) -> Side:
    tenant, taken = stand.tenant(f"by-{name}"), Counted()
    port = 0
    if name == "smtp":
        port = stack.enter_context(mail(taken))
    elif name in HTTP:
        port = stack.enter_context(http(name, taken))
    channel = CHANNELS[name]
    tenant.api.put(f"/v1/channels/{channel}", json=channel_of(name, port)).raise_for_status()
    launch(tenant, CAMPAIGN, {"event": EVENT}, channel=channel)
    return Side(name, tenant, port, taken)


if __name__ == "__main__":
    sys.exit(main())
