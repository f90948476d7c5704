"""The campaign over the Starbucks users from import to audit, with kill -9 on the way: what the end-to-end test asserts
and the benchmark prints."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.support.stand import Tenant
from tests.support.starbucks_account import Account, audits_of, complete, learning
from tests.support.starbucks_people import CAMPAIGN, People, publish
from tests.support.starbucks_traffic import VICTIMS, Traffic

PATIENCE_S = 60.0
ASKED_AGAIN = 200


def run(
    tenant: Tenant,
    folder: Path,
    *,
    n_people: int | None,
    n_waves: int,
    window_s: int,
    victims: Sequence[str] = VICTIMS,
) -> dict[str, Any]:
    """Every count, the kills, seconds, one audit in full, and ``differences``: empty when everything adds up.

    Each victim dies once, in turn with the waves. Then the installation is taken down and up again while windows are
    open, so that rewards become final after a restart.
    """
    seconds: dict[str, float] = defaultdict(float)
    began = time.monotonic()

    def lap(what: str) -> None:
        nonlocal began
        now = time.monotonic()
        seconds[what] = round(seconds[what] + now - began, 1)
        began = now

    people, traffic = People(n_people), Traffic(tenant)
    for at in range(0, len(people.ids), 500):
        traffic.send(people.identities()[at : at + 500])
    history = people.import_history(tenant, folder)
    lap("identify_and_import")
    publish(tenant, people, window_s)
    lap("publish")
    for wave, (triggers, purchases) in enumerate(people.waves(n_waves)):
        traffic.wave(triggers, victims[wave::n_waves])
        lap("waves")
        traffic.spend(purchases)
        lap("spending")
    account = Account(traffic, people)
    before = audits_of(tenant, list(account.ids)[:: max(1, len(account.ids) // ASKED_AGAIN)])
    tenant.stand.down()
    lap("down")
    tenant.stand.up()
    lap("up")
    _mature(tenant, window_s)
    lap("windows_to_close")
    audits = account.told()
    account.unchanged(before, audits)
    lap("accounting")
    account.stored(audits)
    lap("warehouse")
    return {
        "persons": len(people.ids),
        "history_events": history,
        **account.figures,
        "events_resent": traffic.n_resent,
        "kills": [asdict(kill) for kill in traffic.kills],
        "seconds": dict(seconds),
        "audit": max(
            filter(complete, audits.values()), key=lambda a: (a["group"] == "policy", a["at"], a["id"]), default=None
        ),
        "differences": account.differences,
    }


def _mature(tenant: Tenant, window_s: int) -> None:
    """Wait until every reward is final and the learner has stored it. What is then missing, the account tells."""
    deadline = time.monotonic() + window_s + PATIENCE_S
    while time.monotonic() < deadline:
        report = tenant.api.get(f"/v1/campaigns/{CAMPAIGN}/report").json()
        final = sum(arm["decisions"] for arm in report["arms"])
        learned = sum(arm["decisions"] for arm in report["arms"] if arm["group"] != "holdout")
        chosen = report["sent"] + report["no_send"] + report["refused"].get("bounced", 0)
        if final >= chosen and _stored(tenant) >= learned:
            return
        time.sleep(0.5)


def _stored(tenant: Tenant) -> int:
    statistics = learning(tenant.stand).ledger.statistics.get((tenant.id, CAMPAIGN))
    return 0 if statistics is None else round(sum(held.n for held in statistics.arms.values()))
