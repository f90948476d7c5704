"""Decisions per second over HTTP: batches of 100, single questions at a steady rate, and as many of them as go.

With ``--no-deliver`` this is a decision API alone: the applications that render and hand over messages are left out of
the installation, so that what is chosen waits in the shards, journaled, and nobody is asked about twice (a user whose
decision is open would be refused). Otherwise every message is sent as well, before the next measurement begins.

Each question is an occasion of its own. Refused candidates are counted apart.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

from tests.benchmarks import load, report
from tests.support.campaigning import counts, experiment, launch, person, send
from tests.support.stand import Stand, Tenant, running, until

CAMPAIGN = "on-demand"
BATCH = 100
PEOPLE_AT_ONCE = 500


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--users", type=int, help="20,000 by default, 200,000 with --no-deliver")
    parser.add_argument("--seconds", type=float, default=20.0, help="time of each run")
    parser.add_argument("--connections", type=int, default=32, help="of the single questions")
    parser.add_argument("--batch-connections", type=int, default=8)
    parser.add_argument("--singles-per-s", type=float, default=300.0, help="the steady rate")
    parser.add_argument("--shards", type=int, default=2)
    parser.add_argument("--deliver", action=argparse.BooleanOptionalAction, default=True, help="send what is chosen")
    options = parser.parse_args()
    n_users = options.users or (20_000 if options.deliver else 200_000)
    figures: dict[str, Any] = {}
    settings = {} if options.deliver else {"PROGRAMS_CONTENT": "", "PROGRAMS_DELIVERY": ""}
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as folder,
        running(Path(folder), shards=options.shards, settings=settings) as stand,
    ):
        tenant = stand.tenant("asks")
        launch(tenant, CAMPAIGN, {"request": True}, window_s=86_400)
        experiment(tenant, holdout=0.05, uniform=0.05)
        users = [f"user-{number}" for number in range(n_users)]
        for first in range(0, len(users), PEOPLE_AT_ONCE):
            some = users[first : first + PEOPLE_AT_ONCE]
            send(tenant, *(person(user, first + at) for at, user in enumerate(some)))
        asks = Asks(stand, tenant, users, deliver=options.deliver)
        asks.as_fast_as_it_goes(1, 4, seconds=2.0)  # loads code, makes connections
        figures["steady"] = asks.steadily(options.singles_per_s, options.seconds)
        figures["single"] = asks.as_fast_as_it_goes(1, options.connections, options.seconds)
        figures["batches"] = asks.as_fast_as_it_goes(BATCH, options.batch_connections, options.seconds)
        tenant.close()
    sent = "all are sent" if options.deliver else "nothing is rendered or sent"
    report.publish(
        "asks",
        figures,
        options.json,
        payload=f"POST /v1/decisions, one user or {BATCH}; 5 e-mail arms, 5 % holdout, 5 % uniform; {sent}",
        durability="fdatasync of the candidacy and of the choice before the answer, file journal",
        load_generator="in this process, same machine",
        connections={"single": options.connections, "batches": options.batch_connections},
        users=n_users,
        shards=options.shards,
    )


class Asks:
    """Questions about one user after the other; from the first again once all messages are sent, if they are sent."""

    def __init__(self, stand: Stand, tenant: Tenant, users: list[str], *, deliver: bool) -> None:
        self._stand, self._tenant, self._deliver = stand, tenant, deliver
        self._authorization = f"Bearer {tenant.secret_key}"
        self._users = cycle(users) if deliver else iter(users)
        self._serial = count()

    def as_fast_as_it_goes(self, n_users: int, connections: int, seconds: float) -> dict[str, Any]:
        """Each connection asks again when it was answered; ``n_users`` a question."""
        return self._measured(
            lambda: asyncio.run(load.run(self._stand.port, self._questions(n_users), connections, seconds))
        )

    def steadily(self, per_s: float, seconds: float) -> dict[str, Any]:
        """Single questions at a rate, whatever the answers take; a late one's time counts from when it was due."""
        questions = list(islice(self._questions(1), int(per_s * seconds)))

        def run() -> load.Result:
            answers = asyncio.run(load.paced(self._stand.port, questions, per_s, connections=64))
            took = max(a.acknowledged_at for a in answers) - min(a.due_at for a in answers)
            return load.Result(
                took, Counter(a.status for a in answers), [a.acknowledged_at - a.due_at for a in answers]
            )

        return self._measured(run)

    def _questions(self, n_users: int) -> Iterator[bytes]:
        """Ends when all users were asked about and none of them may be again."""
        while group := list(islice(self._users, n_users)):
            who = {"user_id": group[0]} if n_users == 1 else {"user_ids": group}
            body = {"campaign": CAMPAIGN, "occurrence": f"{next(self._serial)}", **who}
            yield load.http_request("/v1/decisions", json.dumps(body).encode(), self._authorization)

    def _measured(self, run: Callable[[], load.Result]) -> dict[str, Any]:
        before = counts(self._tenant, CAMPAIGN)
        ours = run()
        after = counts(self._tenant, CAMPAIGN)
        if self._deliver:
            after = until(
                lambda: None if (c := counts(self._tenant, CAMPAIGN))["pending"] else c, "all to be sent", 300
            )
        n = after["candidates"] - before["candidates"]
        refused = {r: total - before["refused"].get(r, 0) for r, total in after["refused"].items()}
        return {
            "decisions_per_s": round((n - sum(refused.values())) / ours.seconds),
            "requests_per_s": round(sum(ours.statuses.values()) / ours.seconds),
            "statuses": dict(ours.statuses),
            **ours.percentiles_ms(),
            "decisions": n,
            "sent": after["sent"] - before["sent"],
            "refused": refused,
        }


if __name__ == "__main__":
    main()
