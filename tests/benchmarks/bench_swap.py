"""A new version while decisions go on: how long until every replica has it, of a model that is promoted and of a policy
that was learned.

One user after the other is decided about without a pause, by several clients. A promotion's time is from the moment it
is answered to the first of ten decisions in a row that carry the version: of two replicas, one that did not have it would
be asked among them but once in a thousand times. A publication's time is from the moment the learner has stored it to the
last decision by an older number. Versions go into shadow, which needs no evidence; what a version has to say at a later
stage reaches replicas in the same way.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np

from actors.files.blobs import unseal
from actors.learner.actor import BLOB, FOLDER
from tests.benchmarks import report
from tests.support.campaigning import decision, launch, people
from tests.support.stand import Stand, Tenant, running, until
from tests.unit.whisperer.decisions.valuing import write_model
from whisperer.decisions.versions import parsed
from whisperer.models.value import DEVIATION

NAME = "on-demand"
CLIENTS, USERS = 3, 1_000
WINDOW_S = 2
"""Rewards are final after it, so the learner has something to publish all the time."""
AFTER_S = 4.0
"""How long decisions are looked at after a promotion."""
LOOK_S = 0.002
IN_A_ROW = 10


@dataclass(slots=True)
class Asking:
    """Decisions as they were asked for: (clock, id, policy version)."""

    made: list[tuple[float, str, str]] = field(default_factory=list)

    @contextmanager
    def of(self, tenant: Tenant, users: list[str]) -> Iterator[None]:
        over = threading.Event()

        def ask(client: int) -> None:
            key = {"Authorization": f"Bearer {tenant.secret_key}"}
            with httpx.Client(base_url=tenant.stand.url, headers=key, timeout=60) as http:
                for turn in range(client, 10**9, CLIENTS):
                    if over.is_set():
                        return
                    at, body = time.time(), {"campaign": NAME, "user_id": users[turn % len(users)]}
                    answer = http.post("/v1/decisions", json=body).raise_for_status().json()
                    self.made.append((at, answer["decision_id"], answer["policy_version"] or ""))

        threads = [threading.Thread(target=ask, args=(client,)) for client in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def since(self, at: float) -> list[tuple[float, str, str]]:
        return [one for one in self.made if one[0] >= at]


@contextmanager
def watched(blob: Path) -> Iterator[dict[int, float]]:
    """The learner's publications by number, each with the clock when it was stored."""
    found: dict[int, float] = {}
    over = threading.Event()

    def look() -> None:
        seen = 0
        while not over.wait(LOOK_S):
            stat = blob.stat() if blob.exists() else None
            if stat is not None and stat.st_mtime_ns != seen:
                seen = stat.st_mtime_ns
                number = msgspec.msgpack.decode(unseal(blob.read_bytes()))[0]
                found.setdefault(number, time.time())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def registered(tenant: Tenant, n: int) -> None:
    with tempfile.TemporaryDirectory(prefix="models-") as folder:
        for version in range(1, n + 1):
            place = Path(folder) / str(version)
            write_model(
                place, version, name=NAME, parameters={"arms": ["no_send", "email-0", "never-there"], DEVIATION: 2.0}
            )
            tenant.stand.run("policy", "register", str(place), "--tenant", tenant.name)


def promoted(tenant: Tenant, asking: Asking, version: int) -> float | None:
    """Seconds until the first of :data:`IN_A_ROW` decisions that carry the version; None where there were none."""
    path = f"/v1/policies/{NAME}"
    tenant.api.post(f"{path}/promote", json={"version": version}).raise_for_status()
    began = time.time()
    time.sleep(AFTER_S)
    asked = sorted(asking.since(began))
    out = tenant.api.post(f"{path}/rollback", json={"version": version, "reason": "the next one"})
    if out.status_code != httpx.codes.CONFLICT:  # the guardrails were first: on a full machine it answers late
        out.raise_for_status()
    row: list[float] = []
    for at, id_, _ in asked:
        row = [*row, at] if decision(tenant, id_)["shadow_version"] == f"{NAME}@{version}" else []
        if len(row) == IN_A_ROW:
            return row[0] - began
    return None


def published(asking: Asking, stored: dict[int, float]) -> list[float]:
    """Seconds from each publication to the last decision by an older one."""
    numbers = [(at, found.number) for at, _, said in asking.made if (found := parsed(said)) is not None]
    last = max((at for at, _ in numbers), default=0.0) - AFTER_S
    return [
        max((at - began for at, number in numbers if at > began and number < stored_number), default=0.0)
        for stored_number, began in stored.items()
        if began < last
    ]


def measure(stand: Stand, n: int) -> dict[str, Any]:
    tenant = stand.tenant("swap")
    launch(tenant, NAME, {"request": True}, n_arms=1, window_s=WINDOW_S)
    users = people(tenant, USERS)
    registered(tenant, n)
    asking = Asking()
    blob = stand.data_dir / FOLDER / BLOB
    with asking.of(tenant, users), watched(blob) as stored:
        until(lambda: len(asking.made) > 100, "a hundred decisions")
        stored.clear()
        swaps = [promoted(tenant, asking, version) for version in range(1, n + 1)]
        lags = published(asking, dict(stored))
    tenant.close()
    return {
        "decisions": len(asking.made),
        "replicas": len(stand.processes("ray::ServeReplica:decisions")),
        "promotion_ms": told([seconds for seconds in swaps if seconds is not None]),
        "each_ms": [None if seconds is None else round(seconds * 1000) for seconds in swaps],
        "publication_ms": told(lags),
    }


def told(seconds: list[float]) -> dict[str, float]:
    ms = np.array(seconds or [np.nan]) * 1000
    return {"n": len(seconds), "median": round(float(np.median(ms)), 1), "max": round(float(ms.max()), 1)}


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--promotions", type=int, default=20)
    parser.add_argument("--replicas", type=int, default=2, help="of the application that decides")
    options = parser.parse_args()
    settings = {f"DECISIONS_{end}_REPLICAS": options.replicas for end in ("MIN", "MAX")}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, running(Path(folder), settings=settings) as stand:
        figures = measure(stand, options.promotions)
    report.publish("swap", figures, options.json, clients=CLIENTS, users=USERS, looked_at_s=AFTER_S)


if __name__ == "__main__":
    main()
