"""Sends to servers that are slow or break off, through stops, upgrades, moves and kill -9: sent twice, unknown, lost.

`--list` names the faults, `--only NAME` (again for more) runs some. A copy is a whole message at the receiver, answered
or not; every candidate has to be accounted for in the end. While a fault is on, events go on coming; those that are
refused are counted.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.benchmarks import report
from tests.support.campaigning import counts, launch, people, track
from tests.support.faulty_receivers import OPEN, Taken, by_mail, by_webhook, endpoint, mail_server
from tests.support.stand import Stand, Tenant, running, until

EVENT = "Joined"


@dataclass(frozen=True)
class Sends:
    """One fault's tenant, with its channel at a receiver of its own."""

    stand: Stand
    tenant: Tenant
    taken: Taken
    campaign: str = "welcome"

    def begin(self, n_users: int) -> list[str]:
        """Everybody is written to; returns when the receiver has begun to take messages."""
        users = people(self.tenant, n_users)
        track(self.tenant, EVENT, *users)
        until(lambda: sum(self.taken.n_copies.values()), "a first message at the receiver", 60)
        return users

    def closed(self, timeout_s: float) -> dict[str, Any]:
        """The accounting once nothing is pending."""

        def look() -> dict[str, Any] | None:
            found = counts(self.tenant, self.campaign)
            return found if found["candidates"] and not found["pending"] else None

        return until(look, f"an end of {self.campaign}", timeout_s)

    def figures(self, began: float, counted: dict[str, Any]) -> dict[str, Any]:
        return {
            "messages": counted["candidates"],
            "copies": sum(self.taken.n_copies.values()),
            "had_twice": self.taken.n_more_than_once,
            "sent": counted["sent"],
            "of_them_unknown": counted.get("unknown"),
            "no_send": counted["no_send"],
            "refused": counted["refused"],
            "pending": counted["pending"],
            "seconds": round(time.monotonic() - began, 1),
        }


def slow_after_dot(sends: Sends) -> dict[str, Any]:
    """the server answers 20 s after the final dot; 5 messages"""
    sends.taken.after_s = 20.0
    began = time.monotonic()
    sends.begin(5)
    return sends.figures(began, sends.closed(300))


def burst(sends: Sends) -> dict[str, Any]:
    """the server takes 0.5 s a message; 600 users at once"""
    sends.taken.after_s = 0.5
    began = time.monotonic()
    sends.begin(600)
    return sends.figures(began, sends.closed(300))


def silent(sends: Sends) -> dict[str, Any]:
    """the server never answers after the final dot; 5 messages, given up after 20 s"""
    sends.taken.how = "silent"
    began = time.monotonic()
    sends.begin(5)
    return sends.figures(began, sends.closed(300))


def drops(sends: Sends) -> dict[str, Any]:
    """the server drops the connection after the final dot; 20 messages"""
    sends.taken.how = "drops"
    began = time.monotonic()
    sends.begin(20)
    return sends.figures(began, sends.closed(300))


def down(sends: Sends) -> dict[str, Any]:
    """`whisperer down`, then `up`, while 8 messages take 12 s each"""
    sends.taken.after_s = 12.0
    began = time.monotonic()
    users = sends.begin(8)
    with events(sends.tenant) as refused:
        stopped = time.monotonic()
        sends.stand.down()
        down_s = time.monotonic() - stopped
        n_refused = refused()
    sends.stand.up()
    counted = sends.closed(300)
    return sends.figures(began, counted) | {"down_s": round(down_s, 1), "users": len(users), "events": n_refused}


def upgrade(sends: Sends) -> dict[str, Any]:
    """`whisperer shards upgrade` while 8 messages take 12 s each"""
    sends.taken.after_s = 12.0
    began = time.monotonic()
    sends.begin(8)
    with events(sends.tenant) as refused:
        told = sends.stand.json("shards", "upgrade")
        n_refused = refused()
    pauses = [round(shard["pause_s"], 2) for shard in told]
    return sends.figures(began, sends.closed(300)) | {"pause_s": pauses, "events": n_refused}


def move(sends: Sends) -> dict[str, Any]:
    """`whisperer shards move` of everything to shard 1 while 8 messages take 12 s each"""
    sends.taken.after_s = 12.0
    began = time.monotonic()
    sends.begin(8)
    with events(sends.tenant) as refused:
        sends.stand.run("shards", "move", "--to", "1", "--from", "0", "--tenant", sends.tenant.name, "--json")
        n_refused = refused()
    return sends.figures(began, sends.closed(300)) | {"events": n_refused}


def shards_killed(sends: Sends) -> dict[str, Any]:
    """kill -9 of both shards while 8 messages take 12 s each; the delivery application lives"""
    sends.taken.after_s = 12.0
    began = time.monotonic()
    sends.begin(8)
    for shard in range(sends.stand.shards):
        sends.stand.kill_shard(shard)
    return sends.figures(began, sends.closed(300))


MAIL: dict[str, Callable[[Sends], dict[str, Any]]] = {
    one.__name__: one for one in (slow_after_dot, burst, silent, drops, down, upgrade, move, shards_killed)
}
WEBHOOK: dict[str, Callable[[Sends], dict[str, Any]]] = {
    f"webhook_{one.__name__}": one for one in (burst, drops, down, upgrade)
}
FAULTS = MAIL | WEBHOOK


@contextmanager
def events(tenant: Tenant) -> Iterator[Callable[[], dict[str, int]]]:
    """Events come ten times a second; calling what it yields says what became of those so far.

    A connection that is refused is the end of a `down`, not a refusal of ours.
    """
    over, told = threading.Event(), {"accepted": 0, "refused": 0}

    def run() -> None:
        with httpx.Client(base_url=tenant.stand.url, headers=tenant.http.headers, timeout=30) as http:
            number = 0
            while not over.wait(0.1):
                number += 1
                body = {"batch": [{"type": "track", "event": "Seen", "userId": f"other-{number % 50}"}]}
                try:
                    answer = http.post("/v1/batch", json=body)
                except httpx.TransportError:
                    continue
                told["accepted" if answer.status_code == 200 else "refused"] += 1

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield lambda: dict(told)
    finally:
        over.set()
        thread.join()


def run(stand: Stand, name: str) -> dict[str, Any]:
    taken = Taken()
    tenant = stand.tenant(name.replace("_", "-"))
    is_mail = name in MAIL
    with (mail_server if is_mail else endpoint)(taken) as port:
        patience = {"answer_timeout_s": 20} if name == "silent" else {}
        body = by_mail(port, **patience) if is_mail else by_webhook(port)
        channel = "email" if is_mail else "webhook"
        tenant.api.put(f"/v1/channels/{channel}", json=body).raise_for_status()
        launch(tenant, "welcome", {"event": EVENT}, channel=channel)
        try:
            return FAULTS[name](Sends(stand, tenant, taken))
        except (AssertionError, httpx.HTTPError) as error:
            traceback.print_exc()
            return {"failed": str(error)[:200], "copies": dict(taken.n_copies)}
        finally:
            tenant.close()


def main() -> int:
    parser = report.arguments(__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="run this fault; may be repeated")
    parser.add_argument("--list", action="store_true", help="name the faults and leave")
    options = parser.parse_args()
    unknown = [name for name in options.only if name not in FAULTS]
    if unknown:
        parser.error(f"there is no fault {unknown[0]!r}; known: {', '.join(FAULTS)}")
    if options.list:
        for name, fault in FAULTS.items():
            print(f"{name}: {(fault.__doc__ or '').strip()}")
        return 0
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder), settings=OPEN) as stand:
        for name in options.only or FAULTS:
            print(f"{name}: {(FAULTS[name].__doc__ or '').strip()}", file=sys.stderr, flush=True)
            found[name] = run(stand, name)
            print(f"  {found[name]}", file=sys.stderr, flush=True)
    report.publish("sends", found, options.json, durability="fdatasync before 2xx, file journal", shards=2)
    return int(any("failed" in figures for figures in found.values()))


if __name__ == "__main__":
    sys.exit(main())
