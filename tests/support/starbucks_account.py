"""What must add up after the Starbucks campaign, each sum reckoned a second time from something else.

Acknowledged triggers, status, report, sink, audits over HTTP, the warehouse's files and the learner's statistics tell
of the same decisions; the rewards are reckoned by hand from the purchases that were sent. Every difference becomes a
sentence; there must be none.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import httpx
import msgspec

from actors.calls.map_holder import MapHolder
from actors.files.blobs import BlobFolder
from actors.jobs import read_audit
from actors.learner.actor import FOLDER, Learning
from actors.warehouse import Warehouse
from cluster.launch import installation
from serve_apps.delivery.sink import Sink
from serve_apps.gateway.services.audit import audit as audit_of
from serve_apps.gateway.services.audit import from_warehouse
from tests.support.stand import Stand, Tenant
from tests.support.starbucks_people import CAMPAIGN, CAP, COSTS, People
from tests.support.starbucks_traffic import Traffic
from whisperer.shard.decision.outcomes import SKEW_MS

MICROS = 1_000_000
AT_ONCE = 16
N_LOOKED_UP = 20
SHOWN = 20

Audits = dict[str, dict[str, Any]]


class Account:
    def __init__(self, traffic: Traffic, people: People) -> None:
        self.traffic, self.tenant, self.people = traffic, traffic.tenant, people
        self.differences: list[str] = []
        self.ids = {trigger.decision_id(self.tenant.id): trigger for trigger in traffic.triggers}
        self.figures: dict[str, Any] = {}

    def same(self, what: str, found: Any, wanted: Any) -> None:
        if found != wanted and len(self.differences) < SHOWN:
            self.differences.append(f"{what}: {found!r}, not {wanted!r}")

    # -- over HTTP --------------------------------------------------------------------------------------------------

    def told(self) -> Audits:
        """Counts, messages, audits, rewards and report; the audits of all triggers by decision id."""
        counts = self.tenant.counts()
        ended = counts["sent"] + counts["no_send"] + sum(counts["refused"].values())
        self.same("triggers that are one decision each", len(self.ids), len(self.traffic.triggers))
        self.same("candidates", counts["candidates"], len(self.traffic.triggers))
        self.same("pending", counts["pending"], 0)
        self.same("sent + no_send + refused", ended, counts["candidates"])
        audits = audits_of(self.tenant, self.ids)
        self._audits(audits, counts)
        self._messages(audits, counts)
        credits = self._rewards(audits)
        self._report(audits, credits, counts)
        names = ("candidates", "sent", "no_send", "refused", "pending", "conversions", "outcomes")
        self.figures |= {"triggers": len(self.traffic.triggers), **{name: counts[name] for name in names}}
        return audits

    def _audits(self, audits: Audits, counts: dict[str, Any]) -> None:
        statuses = Counter(audit["status"] for audit in audits.values())
        reasons = Counter(audit["reason"] for audit in audits.values() if audit["status"] == "refused")
        self.same("audits by status", [statuses["sent"], statuses["no_send"]], [counts["sent"], counts["no_send"]])
        self.same("audits by reason", dict(reasons), counts["refused"])
        withdrawn = set(self.people.withdrawn())
        for decision, audit in audits.items():
            trigger = self.ids[decision]
            self.same(
                f"{decision} is of", (audit["user_id"], audit["occurrence"]), (trigger.person, trigger.message_id)
            )
            if trigger.person in withdrawn:
                self.same(f"{decision} of one who withdrew", audit["reason"], "no_consent")
            if audit["chosen_at"] is not None:
                chosen = audit["propensities"][audit["arms"].index(audit["arm"])]
                self.same(f"{decision} sums to 1", math.isclose(sum(audit["propensities"]), 1.0), True)
                self.same(f"{decision} propensity", audit["propensity"], chosen)
        policies = {audit["policy_version"] for audit in audits.values() if audit["group"] == "policy"} - {None}
        self.figures["policy_versions_used"] = len(policies)
        self.figures["groups"] = Counter(audit["group"] for audit in audits.values() if audit["group"])

    def _messages(self, audits: Audits, counts: dict[str, Any]) -> None:
        sink = Sink(installation.load(self.tenant.stand.data_dir).sink_path)
        try:
            counted = sink.counts(self.tenant.id)
        finally:
            sink.close()
        messages = list(_messages(self.tenant))
        self.same("messages in the sink", counted.total, counts["sent"])
        self.same("messages listed", len(messages), counted.total)
        self.same("messages of one decision each", len({m["decision_id"] for m in messages}), len(messages))
        self.same("doubled", counted.doubled, 0)
        for message in messages:
            audit = audits.get(message["decision_id"], {"status": "unknown", "arm": None, "send": None})
            told = audit["status"], str(audit["arm"]).partition("-")[0], audit["send"] and audit["send"]["send_key"]
            self.same(f"audit of {message['decision_id']}", told, ("sent", message["channel"], message["send_key"]))
        self.figures["sink"] = {
            "total": counted.total,
            "by_channel": counted.by_channel,
            "doubled": counted.doubled,
            "presented_again_and_dropped": counted.n_repeats,
        }

    def _rewards(self, audits: Audits) -> dict[str, int]:
        """Decision -> what the user's purchases brought it (micros): the latest one whose window held them."""
        by_person: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for audit in sorted(audits.values(), key=lambda audit: ms(audit["at"]), reverse=True):
            if audit["chosen_at"] is not None:
                by_person[audit["user_id"]].append(audit)
        credits: dict[str, int] = {}
        for purchase, at in self.traffic.purchases:
            for audit in by_person[purchase.person]:
                was_there = self.ids[audit["id"]].wave <= purchase.wave  # within the skew, a later one is too late
                if was_there and ms(audit["at"]) - SKEW_MS < at <= ms(audit["mature_at"]):
                    credits[audit["id"]] = credits.get(audit["id"], 0) + purchase.micros
                    break
        for audit in (audit for decided in by_person.values() for audit in decided):
            earned = min(credits.get(audit["id"], 0), CAP * MICROS)
            if audit["status"] == "sent":
                earned -= round(COSTS[audit["send"]["channel"]] * MICROS)
            self.same(f"reward of {audit['id']}", (audit["matured"], audit["reward_micros"]), (True, earned))
            told = sum(o["value_micros"] for o in audit["outcomes"] if o["kind"] == "converted")
            self.same(f"conversions of {audit['id']}", told, credits.get(audit["id"], 0))
        self.figures["purchases"] = len(self.traffic.purchases)
        self.figures["capped_rewards"] = sum(micros > CAP * MICROS for micros in credits.values())
        return credits

    def _report(self, audits: Audits, credits: dict[str, int], counts: dict[str, Any]) -> None:
        report = self.tenant.api.get(f"/v1/campaigns/{CAMPAIGN}/report").json()
        for name in ("candidates", "sent", "no_send", "refused", "pending", "conversions"):
            self.same(f"report's {name}", report[name], counts[name])
        chosen = [audit for audit in audits.values() if audit["chosen_at"] is not None]
        arms = Counter((audit["group"], audit["arm"]) for audit in chosen)
        self.same("report's decisions by arm", {(a["group"], a["arm"]): a["decisions"] for a in report["arms"]}, arms)
        rewards = sum(audit["reward_micros"] for audit in chosen)
        self.same("report's rewards", sum(arm["reward_micros"] for arm in report["arms"]), rewards)
        self.same("report's conversions", report["conversions"], len(credits))
        since = {}
        for audit in audits.values():
            if audit["group"]:
                since[audit["user_id"]] = min(ms(audit["at"]), since.get(audit["user_id"], ms(audit["at"])))
        self.same("report's users", sum(group["users"] for group in report["groups"]), len(since))
        spent = sum(
            p.micros for p, at in self.traffic.purchases if p.person in since and at > since[p.person] - SKEW_MS
        )
        told = sum((group["mean"] or 0.0) * group["users"] for group in report["groups"])
        self.same("report's revenue", math.isclose(told, spent / MICROS, rel_tol=1e-9), True)
        self.figures["report"] = {name: report[name] for name in ("groups", "lift", "uniform_lift", "sample_ratio")}

    # -- on the disk ------------------------------------------------------------------------------------------------

    def stored(self, audits: Audits) -> None:
        """The warehouse's files, and the learner's statistics."""
        self.tenant.api.get(f"/v1/users/{self.people.ids[0]}/export").raise_for_status()  # which flushes every shard
        record = installation.load(self.tenant.stand.data_dir)
        _, settings = record.configured()
        warehouse = Warehouse(settings.warehouse.uri)

        def rows(dataset: str, columns: str, condition: str = "true") -> list[tuple[Any, ...]]:
            relation = warehouse.duckdb_relation(self.tenant.id, dataset)
            found: list[tuple[Any, ...]] = relation.filter(condition).project(columns).order("all").fetchall()
            return found

        chosen = {d: audit for d, audit in audits.items() if audit["chosen_at"] is not None}
        made = rows("decisions", "decision_id, arm, propensity, policy_version, seed")
        names = ("arm", "propensity", "policy_version", "seed")
        told = ((d, *(audit[name] for name in names)) for d, audit in audits.items())
        self._each_once("decisions in the warehouse", made, told)
        sent = ((d, a["send"]["send_key"], a["send"]["channel"]) for d, a in chosen.items() if a["status"] == "sent")
        accepted = rows("deliveries", "decision_id, send_key, channel", "status = 'accepted'")
        self._each_once("accepted deliveries in the warehouse", accepted, sent)
        rewards = rows("rewards", "decision_id, reward_micros", "mature")
        self._each_once("final rewards in the warehouse", rewards, ((d, a["reward_micros"]) for d, a in chosen.items()))
        for decision in [d for d, audit in audits.items() if complete(audit)][:N_LOOKED_UP]:
            lookup = warehouse.lookup_decision(self.tenant.id, decision)
            assert lookup is not None
            stored = read_audit(msgspec.msgpack.encode(lookup))
            assert stored is not None
            found = msgspec.to_builtins(audit_of(from_warehouse(stored)))
            self.same(f"{decision} in the warehouse", found, {n: audits[decision][n] for n in found})
        self.figures["warehouse"] = {"decisions": len(made), "accepted": len(accepted), "final_rewards": len(rewards)}
        self._learned(self.tenant.stand, [a for a in chosen.values() if a["group"] != "holdout"])

    def _each_once(self, what: str, found: Sequence[tuple[Any, ...]], wanted: Iterable[tuple[Any, ...]]) -> None:
        expected = list(wanted)
        self.same(f"{what}, rows", len(found), len(expected))
        self.same(f"{what}, lost", sorted(map(str, set(expected) - set(found)))[:3], [])
        self.same(f"{what}, unknown", sorted(map(str, set(found) - set(expected)))[:3], [])

    def _learned(self, stand: Stand, decisions: Sequence[dict[str, Any]]) -> None:
        """Each decision once, with its final reward; the first column of a context is 1, so moments hold the sums."""
        learned = learning(stand)
        statistics = learned.ledger.statistics[self.tenant.id, CAMPAIGN]
        n = {arm: held.n for arm, held in statistics.arms.items() if held.n}
        self.same("rewards that never came", learned.ledger.n_missing, 0)
        if len({audit["mature_at"][:10] for audit in decisions}) == 1:  # over midnight, earlier rewards weigh less
            self.same("decisions learned from", n, Counter(audit["arm"] for audit in decisions))
            total = sum(audit["reward_micros"] for audit in decisions) / MICROS
            moments = sum(float(held.moment[0]) for held in statistics.arms.values())
            self.same("rewards learned", math.isclose(moments, total, rel_tol=1e-9, abs_tol=1e-6), True)
        self.figures["learned"] = round(sum(n.values()))

    # -- across a restart -------------------------------------------------------------------------------------------

    def unchanged(self, before: Audits, after: Audits) -> None:
        """What was told before a restart is told after it, except that windows may have closed meanwhile."""
        for decision, audit in before.items():
            self.same(f"{decision} after down and up", after[decision] | {"matured": audit["matured"]}, audit)


class _NoShards:
    places = MapHolder()

    async def call(self, shard: int, method: str, *args: Any, timeout_s: float = 0.0) -> Any:
        raise AssertionError("only what is stored is looked at")


def learning(stand: Stand) -> Learning:
    """The learner's state as it is stored."""
    return Learning(BlobFolder(f"{stand.data_dir}/{FOLDER}"), _NoShards())


def complete(audit: dict[str, Any]) -> bool:
    """Whether an audit has everything that was known, decided, sent and came of it."""
    if audit["status"] != "sent" or not audit["outcomes"] or not audit["matured"]:
        return False
    known = {name for name, value in audit["features"].items() if value is not None}
    vectors = {len(audit[name]) for name in ("arms", "propensities", "means", "spreads")}
    told = (audit["seed"], audit["policy_version"], audit["send"]["content_hash"], audit["send"]["provider_id"])
    return {"revenue", "tenure_days", "local_hour"} <= known and vectors == {len(audit["arms"])} and all(told)


def ms(iso: str) -> int:
    return round(datetime.fromisoformat(iso).timestamp() * 1000)


def _messages(tenant: Tenant) -> Iterable[dict[str, Any]]:
    """All of the sink's, oldest first."""
    parameters: dict[str, Any] = {"after": 0, "limit": 500}
    while True:
        page = tenant.api.get("/v1/sink/messages", params=parameters).json()
        yield from page["data"]
        if page["next_cursor"] is None:
            return
        parameters = {"cursor": page["next_cursor"], "limit": 500}


def audits_of(tenant: Tenant, ids: Iterable[str]) -> Audits:
    """Every one of these decisions as `GET /v1/decisions/{id}` tells it."""
    return asyncio.run(_audits(tenant, ids))


async def _audits(tenant: Tenant, ids: Iterable[str]) -> Audits:
    found: Audits = {}
    at_once = asyncio.Semaphore(AT_ONCE)
    async with httpx.AsyncClient(base_url=tenant.stand.url, headers=tenant.api.headers, timeout=60) as http:

        async def one(decision: str) -> None:
            async with at_once:
                answer = await http.get(f"/v1/decisions/{decision}")
            assert answer.status_code == 200, f"{decision}: {answer.status_code} {answer.text}"
            found[decision] = answer.json()

        await asyncio.gather(*(one(decision) for decision in ids))
    return found
