"""What else goes on while a fault is injected: events passed on, people merged, mail and webhooks sent for real.

Two tenants of their own. *Devices* go on under anonymous ids of people who were identified, and strangers are recognised
all the time, each after an event of theirs. *Written* users trigger two campaigns, one by mail to an SMTP server and one
by a webhook to an endpoint, both on loopback and outside of the installation, so that no fault touches them.

Leaves to others: the load that faults are measured by (:mod:`tests.faults.counted_load`).
"""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Any

import httpx

from tests.faults.counted_load import Pace
from tests.faults.device_load import DeviceLoad
from tests.faults.judging import judge
from tests.faults.triggers import Triggers, insist
from tests.support.campaigning import counts, launch, people
from tests.support.faulty_receivers import Taken, by_mail, by_webhook, endpoint, mail_server
from tests.support.stand import Stand, Tenant, until

DEVICES = Pace(batches_per_s=4.0, batch=20, singles_per_s=0.0, users=200, clients=2)
MEETINGS_PER_S = 10.0
TRIGGERS_PER_S = 10.0
WRITTEN = 100
MEETING = 5
CLOSED_WITHIN_S = 240.0


@dataclass(frozen=True, slots=True)
class Account:
    """``figures`` by kind; ``problems`` are sentences, empty in a good run."""

    acknowledged: int
    lost: int
    doubled: int
    note: str
    figures: dict[str, Any]
    problems: list[str]


class Meetings:
    """Strangers who do something and then say who they are; one client in a thread that resends until it is told yes."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.n_acknowledged = 0

    def __enter__(self) -> Meetings:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with httpx.Client(base_url=self._tenant.stand.url, headers=self._tenant.http.headers, timeout=30) as http:
            while not self._stop.wait(MEETING / MEETINGS_PER_S):
                batch = []
                for n in range(self.n_acknowledged, self.n_acknowledged + MEETING):
                    stranger = {"anonymousId": f"stranger-{n}"}
                    batch.append({"type": "track", "event": "Clicked", "messageId": f"s-{n}", **stranger})
                    batch.append({"type": "identify", "userId": f"met-{n}", "messageId": f"i-{n}", **stranger})
                insist(http, batch)
                self.n_acknowledged += MEETING

    def account(self) -> tuple[int, int]:
        """(lost, doubled): each must have the one event of the stranger they were."""
        lost = doubled = 0
        for n in range(self.n_acknowledged):
            profile = self._tenant.user(f"met-{n}")
            counted = 0 if profile is None else profile["event_counts"].get("Clicked", 0)
            lost += max(0, 1 - counted)
            doubled += max(0, counted - 1)
        return lost, doubled


class Mixed:
    """Runs inside its block; :meth:`account` once it is over."""

    def __init__(self, stand: Stand) -> None:
        mark = secrets.token_hex(3)
        self._stand = stand
        self._devices, self._met, self._written = (
            stand.tenant(f"{name}-{mark}") for name in ("devices", "met", "written")
        )
        self._mail, self._hooks = Taken(), Taken()
        self._running = contextlib.ExitStack()
        self._outside = contextlib.ExitStack()

    def __enter__(self) -> Mixed:
        smtp = by_mail(self._outside.enter_context(mail_server(self._mail)))
        hook = by_webhook(self._outside.enter_context(endpoint(self._hooks)))
        for channel, body in (("email", smtp), ("webhook", hook)):
            self._written.api.put(f"/v1/channels/{channel}", json=body).raise_for_status()
            launch(self._written, f"by-{channel}", {"event": f"Wants {channel}"}, channel=channel)
        users = people(self._written, WRITTEN)
        # Two halves, as a user has one open decision at a time.
        half = WRITTEN // 2
        enter = self._running.enter_context
        self._load = enter(DeviceLoad(self._devices, DEVICES))
        self._meetings = enter(Meetings(self._met))
        self._triggers = {
            "email": enter(Triggers(self._written, "Wants email", users[:half], TRIGGERS_PER_S)),
            "webhook": enter(Triggers(self._written, "Wants webhook", users[half:], TRIGGERS_PER_S)),
        }
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def close(self) -> None:
        self._outside.close()
        for tenant in (self._devices, self._met, self._written):
            tenant.close()

    def account(self, *, with_warehouse: bool = True) -> Account:
        passed = judge(self._stand, self._devices, self._load, with_warehouse=with_warehouse)
        lost, doubled = self._meetings.account()
        figures: dict[str, Any] = {
            "passed_on": {"acknowledged": passed.acknowledged, "lost": passed.lost, "doubled": passed.doubled},
            "merged": {"acknowledged": self._meetings.n_acknowledged, "lost": lost, "doubled": doubled},
            "email": self._sent("email", self._mail.n_copies.total()),
            "webhook": self._sent("webhook", len(self._hooks.n_copies)),
        }
        figures["webhook"]["repeats"] = self._hooks.n_copies.total() - len(self._hooks.n_copies)
        triggered = Counter({"lost": 0, "twice": 0, "missing": 0, "unexplained": 0})
        for channel in ("email", "webhook"):
            triggered.update({key: figures[channel][key] for key in triggered})
        problems = [f"devices: {problem}" for problem in passed.problems]
        problems += [f"{n} messages {what}" for what, n in triggered.items() if n and what != "lost"]
        note = (
            f"beside it {passed.acknowledged} passed on, {self._meetings.n_acknowledged} merged, "
            f"{figures['email']['sent']} mails, {figures['webhook']['sent']} webhooks"
        )
        n_triggers = sum(one.n_acknowledged for one in self._triggers.values())
        return Account(
            acknowledged=passed.acknowledged + self._meetings.n_acknowledged + n_triggers,
            lost=passed.lost + lost + triggered["lost"],
            doubled=passed.doubled + doubled,
            note=note,
            figures=figures,
            problems=problems,
        )

    def _sent(self, channel: str, n_copies: int) -> dict[str, Any]:
        """``n_copies`` of messages that a receiver has to show, repeats of one webhook-id counted once."""
        name, told = f"by-{channel}", self._triggers[channel].n_acknowledged
        counted = until(
            lambda: None if (found := counts(self._written, name))["pending"] else found,
            f"an end of {name}",
            CLOSED_WITHIN_S,
        )
        return {
            "triggers": told,
            "candidates": counted["candidates"],
            "sent": counted["sent"],
            "unknown": counted.get("unknown", 0),
            "no_send": counted["no_send"],
            "refused": counted["refused"],
            "copies": n_copies,
            "lost": max(0, told - counted["candidates"]),
            "unexplained": max(0, counted["candidates"] - told),
            "twice": max(0, n_copies - counted["sent"]),
            "missing": max(0, counted["sent"] - counted.get("unknown", 0) - n_copies),
        }
