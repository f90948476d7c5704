"""Defines every metric of the installation: its name, kind, labels and meaning, and where its samples come from.

:data:`FAMILIES` is the whole list; docs/metrics.md repeats it, and a test keeps the two consistent. A sample is read
from one document: the installation's status, with tenants as (label, counts) pairs, plus the replicas' reports.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

OTHERS = "(others)"
"""Label for all tenants beyond the oldest thousand."""
DONE = "done"

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

Value = float | dict[str, Any]
Sample = tuple[Sequence[str], Value]
Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: the name it is exposed under, and how its samples are read from a document."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str
    samples: Callable[[Document], Iterable[Sample]]


def _summed(samples: Iterable[tuple[tuple[str, ...], float]]) -> list[Sample]:
    """Add up samples with equal labels: several tenants may share one."""
    found: dict[tuple[str, ...], float] = {}
    for labels, value in samples:
        found[labels] = found.get(labels, 0) + value
    return list(found.items())


def _tenant(key: str) -> Callable[[Document], list[Sample]]:
    return lambda document: _summed(((name,), counts[key]) for name, counts in document["tenants"])


def _tenant_by(key: str) -> Callable[[Document], list[Sample]]:
    """Read a tenant's counts by a second label."""
    return lambda document: _summed(
        ((name, label), n) for name, counts in document["tenants"] for label, n in counts.get(key, {}).items()
    )


def _closed(document: Document) -> list[Sample]:
    def each() -> Iterator[tuple[tuple[str, ...], float]]:
        for name, counts in document["tenants"]:
            yield (name, "sent", ""), counts["sent"]
            yield (name, "no_send", ""), counts["no_send"]
            for reason, count in counts["refused"].items():
                yield (name, "refused", reason), count

    return _summed(each())


def _refused_by_replicas(key: str) -> Callable[[Document], list[Sample]]:
    """Read refusals counted by replicas, by tenant id; "" means that no good key was presented."""

    def samples(document: Document) -> list[Sample]:
        names = {counts.get("id", name): name for name, counts in document["tenants"]} | {"": ""}
        return _summed(
            ((replica["replica"], names.get(tenant, OTHERS), label), n)
            for replica in document["replicas"]
            for tenant, by_label in replica.get(key, {}).items()
            for label, n in by_label.items()
        )

    return samples


def _replica(get: Callable[[Document], float]) -> Callable[[Document], list[Sample]]:
    return lambda document: [((replica["replica"],), get(replica)) for replica in document["replicas"]]


def _level(name: str) -> Callable[[Document], list[Sample]]:
    """Read one of the levels that the replica was given."""
    return _replica(lambda replica: replica["levels"].get(name, 0))


def _replica_histogram(key: str) -> Callable[[Document], list[Sample]]:
    return lambda document: [((replica["replica"],), replica[key]) for replica in document["replicas"]]


def _replica_counts(key: str) -> Callable[[Document], list[Sample]]:
    """Read ``[label, ..., count]`` lists."""
    return lambda document: [
        ((replica["replica"], *map(str, labels)), n) for replica in document["replicas"] for *labels, n in replica[key]
    ]


def _jobs_open(document: Document) -> list[Sample]:
    return [
        ((replica["replica"], lane, state), count[state])
        for replica in document["replicas"]
        for lane, count in replica.get("jobs", {}).items()
        for state in ("running", "waiting")
    ]


def _jobs_ended(document: Document) -> list[Sample]:
    return [
        ((replica["replica"], lane, ending), n)
        for replica in document["replicas"]
        for lane, count in replica.get("jobs", {}).items()
        for ending, n in count["endings"].items()
    ]


def _replica_histograms(key: str) -> Callable[[Document], list[Sample]]:
    return lambda document: [
        ((replica["replica"], label), state)
        for replica in document["replicas"]
        for label, state in replica[key].items()
    ]


def _shard(*path: str) -> Callable[[Document], list[Sample]]:
    """Read a number in each shard's status; a shard that is away, or has no value yet, has no sample."""
    return lambda document: [
        ((shard["name"],), value) for shard in document["shards"] if (value := _at(shard, path)) is not None
    ]


def _shard_from(get: Callable[[Document], float | None], key: str) -> Callable[[Document], list[Sample]]:
    return lambda document: [
        ((shard["name"],), value) for shard in document["shards"] if key in shard and (value := get(shard)) is not None
    ]


def _at(document: Any, path: Sequence[str]) -> Any:
    for key in path:
        document = document.get(key) if isinstance(document, Mapping) else None
    return document


def _steps(document: Document) -> list[Sample]:
    return [
        ((shard["name"], step), seconds)
        for shard in document["shards"]
        for step, seconds in (_at(shard, ("commit", "step_s")) or {}).items()
    ]


def _shard_calls(document: Document) -> list[Sample]:
    return [
        ((shard["name"], method, reason or DONE), n)
        for shard in document["shards"]
        for method, reason, n in _at(shard, ("calls", "answered")) or ()
    ]


def _learner_by(*keys: str) -> Callable[[Document], list[Sample]]:
    return lambda document: [((name,), n) for name, n in (_at(document, ("learner", *keys)) or {}).items()]


def _models(key: str) -> Callable[[Document], list[Sample]]:
    return lambda document: [((), n) for n in [_at(document, ("learner", "models", key))] if n is not None]


def _score_models(document: Document) -> list[Sample]:
    """Report each tenant's score model by name and the beginning of its digest, "" for the formula."""
    names = {counts.get("id", name): name for name, counts in document["tenants"]}
    return _summed(
        ((names.get(tenant, OTHERS), found["model"], found["digest"][:12]), 1)
        for shard in document["shards"]
        for tenant, found in (_at(shard, ("scoring", "models")) or {}).items()
    )


def _state_bytes(document: Document) -> list[Sample]:
    return _summed(
        ((name, part), n) for name, counts in document["tenants"] for part, n in counts.get("bytes", {}).items()
    )


def _age(at: float | None) -> float | None:
    return None if at is None else max(0.0, time.time() - at)


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1000


_REPLICA, _SHARD, _TENANT = ("replica",), ("shard",), ("tenant",)

# To add a metric, write its line here, a row into docs/metrics.md, and count it; CONTRIBUTING.md has the recipe.
FAMILIES = (
    # -- the whole
    Family("whisperer_build_info", GAUGE, ("version",), "1, under the version that runs.",
           lambda _: [((version("user-whisperer"),), 1.0)]),
    Family("whisperer_map_version", GAUGE, (), "Version of the partition map: rises with every move.",
           lambda document: [((), document["map_version"])]),
    Family("whisperer_partitions_moved", GAUGE, (), "Partitions that live elsewhere than where they began.",
           lambda document: [((), document.get("n_moved", 0))]),
    Family("whisperer_learner_serving", GAUGE, (), "1 while the learner answers.",
           lambda document: [((), float(_at(document, ("learner", "state")) == "serving"))]),
    Family("whisperer_learner_rewards_total", COUNTER, ("fate",), "Rewards by what became of them.",
           _learner_by("rewards")),
    Family("whisperer_learner_alarms_total", COUNTER, ("kind",), "Alarms of drift since campaigns began.",
           _learner_by("alarms")),
    Family("whisperer_learner_campaigns_in_alarm", GAUGE, (), "Campaigns that explore more and forget faster.",
           lambda document: [((), n) for n in [_at(document, ("learner", "campaigns_in_alarm"))] if n is not None]),
    Family("whisperer_models_scored_total", COUNTER, (), "Decisions that a value model scored.",
           _models("scored")),
    Family("whisperer_models_shadow_total", COUNTER, (), "Decisions that a value model scored in shadow.",
           _models("shadow")),
    Family("whisperer_models_without_total", COUNTER, ("reason",),
           "Decisions made without the value model whose turn it was.",
           _learner_by("models", "without")),
    Family("whisperer_score_model_shards", GAUGE, ("tenant", "model", "digest"),
           "Shards whose last sweep scored the tenant's users by this model.", _score_models),
    # -- events
    Family("whisperer_events_accepted_total", COUNTER, _TENANT, "Events counted, each messageId once.",
           _tenant("events_accepted")),
    Family("whisperer_events_duplicate_total", COUNTER, _TENANT,
           "Events dropped because their messageId was counted.", _tenant("events_duplicate")),
    Family("whisperer_events_dropped_total", COUNTER, ("tenant", "reason"), "Events counted that changed nobody.",
           _tenant_by("events_dropped")),
    Family("whisperer_events_unnamed_total", COUNTER, _TENANT,
           "Events counted as (other), as the tenant's table of names was full.", _tenant("events_unnamed")),
    Family("whisperer_names", GAUGE, ("tenant", "kind"),
           "Distinct event names, time zones and locales in the shard that has most of them.", _tenant_by("names")),
    Family("whisperer_names_retired_total", COUNTER, _TENANT,
           "Names let go because they were used least when codes were short.", _tenant("names_retired")),
    Family("whisperer_traits_refused_total", COUNTER, ("tenant", "reason"),
           "Traits of accepted events that their user had no room for.", _tenant_by("traits_refused")),
    Family("whisperer_events_rejected_total", COUNTER, ("replica", "tenant", "code"),
           "Events turned away since the replica started.", _refused_by_replicas("rejected")),
    Family("whisperer_events_noticed_total", COUNTER, ("replica", "tenant", "notice"),
           "Oddities of accepted events since the replica started.", _refused_by_replicas("notices")),
    Family("whisperer_dedup_ids", GAUGE, _TENANT, "Message ids remembered.", _tenant("dedup_ids")),
    Family("whisperer_dedup_evicted_total", COUNTER, _TENANT, "Message ids forgotten before their time.",
           _tenant("dedup_evicted")),
    Family("whisperer_users", GAUGE, _TENANT, "Users with a profile.", _tenant("users")),
    Family("whisperer_state_bytes", GAUGE, ("tenant", "part"), "Memory that users' state takes, by what it holds.",
           _state_bytes),
    # -- the loop
    Family("whisperer_candidates_total", COUNTER, _TENANT, "Users considered by campaigns.", _tenant("candidates")),
    Family("whisperer_candidates_closed_total", COUNTER, ("tenant", "outcome", "reason"),
           "Candidates by how they ended.", _closed),
    Family("whisperer_sends_unknown_total", COUNTER, _TENANT,
           "Messages that were handed over and had no answer, among the sent.", _tenant("unknown")),
    Family("whisperer_candidates_pending", GAUGE, _TENANT, "Waiting for a choice or a receipt.", _tenant("pending")),
    Family("whisperer_conversions_total", COUNTER, _TENANT, "Decisions whose goal was reached.",
           _tenant("conversions")),
    # -- gateway
    Family("whisperer_gateway_requests_total", COUNTER, ("replica", "route", "method", "status"),
           "HTTP requests answered.", _replica_counts("requests")),
    Family("whisperer_gateway_request_seconds", HISTOGRAM, ("replica", "route"),
           "Time from the first byte of a request's head to the end of its answer.",
           _replica_histograms("request_seconds")),
    Family("whisperer_gateway_body_bytes", HISTOGRAM, _REPLICA, "Content-Length of requests that have a body.",
           _replica_histogram("body_bytes")),
    Family("whisperer_gateway_requests_in_flight", GAUGE, _REPLICA, "Requests being worked on.",
           _replica(lambda replica: replica["in_flight"])),
    Family("whisperer_gateway_in_flight_bytes", GAUGE, _REPLICA, "Bodies of events held in memory.",
           _level("in_flight_bytes")),
    Family("whisperer_gateway_bodies_arriving", GAUGE, _REPLICA, "Bodies of events that are not complete yet.",
           _level("bodies_arriving")),
    Family("whisperer_gateway_bodies_given_up_total", COUNTER, _REPLICA,
           "Incomplete bodies given up to make room for others.",
           _level("bodies_given_up")),
    Family("whisperer_gateway_limits_alone_total", COUNTER, _REPLICA,
           "Requests judged by a replica's own part of a rate, the limiter being away.",
           _level("limits_alone")),
    Family("whisperer_gateway_queued_events", GAUGE, _REPLICA, "Events that wait for a shard to store them.",
           _level("queued_events")),
    Family("whisperer_gateway_jobs", GAUGE, ("replica", "lane", "state"), "Jobs for callers, running or waiting.",
           _jobs_open),
    Family("whisperer_gateway_jobs_total", COUNTER, ("replica", "lane", "ending"),
           "Jobs for callers by how they ended.", _jobs_ended),
    Family("whisperer_gateway_call_events", HISTOGRAM, _REPLICA, "Events that one call to a shard carries.",
           _replica_histogram("call_events")),
    Family("whisperer_gateway_shard_calls_total", COUNTER, ("replica", "method", "result"),
           "Calls to shards by what came of them.", _replica_counts("calls")),
    Family("whisperer_gateway_shard_call_seconds", HISTOGRAM, ("replica", "method"),
           "Time until a shard answered, or was given up.", _replica_histograms("call_seconds")),
    Family("whisperer_gateway_rss_bytes", GAUGE, _REPLICA, "Resident memory.",
           _replica(lambda replica: replica["rss_bytes"])),
    Family("whisperer_gateway_start_time_seconds", GAUGE, _REPLICA, "When the replica started, Unix time.",
           _replica(lambda replica: replica["started_at"])),
    # -- shards
    Family("whisperer_shard_serving", GAUGE, _SHARD, "1 while the shard answers.",
           lambda document: [((shard["name"],), float(shard["state"] == "serving")) for shard in document["shards"]]),
    Family("whisperer_shard_epoch", GAUGE, _SHARD, "Incarnation: rises with every start.", _shard("epoch")),
    Family("whisperer_shard_rss_bytes", GAUGE, _SHARD, "Resident memory.", _shard("rss_bytes")),
    Family("whisperer_shard_partitions", GAUGE, _SHARD, "Partitions that have had a record.", _shard("partitions")),
    Family("whisperer_shard_users", GAUGE, _SHARD, "Users at home here.", _shard("users")),
    Family("whisperer_shard_calls_under_way", GAUGE, _SHARD, "Calls in the mailbox that are not answered yet.",
           _shard("calls", "under_way")),
    Family("whisperer_shard_calls_total", COUNTER, ("shard", "method", "reason"),
           "Calls answered, by the reason why not done.", _shard_calls),
    Family("whisperer_shard_commit_groups_total", COUNTER, _SHARD, "Groups made durable, one sync each.",
           _shard("commit", "groups")),
    Family("whisperer_shard_commit_records_total", COUNTER, _SHARD, "Records made durable.",
           _shard("commit", "records")),
    Family("whisperer_shard_commit_bytes_total", COUNTER, _SHARD, "Bytes of records made durable.",
           _shard("commit", "bytes")),
    Family("whisperer_shard_sync_seconds", HISTOGRAM, _SHARD, "Time to write and sync one group.",
           _shard("commit", "histograms", "sync")),
    Family("whisperer_shard_commit_seconds", HISTOGRAM, _SHARD,
           "Time from a group's first record coming in until the group was applied and answered.",
           _shard("commit", "histograms", "wait")),
    Family("whisperer_shard_group_records", HISTOGRAM, _SHARD, "Records of one group.",
           _shard("commit", "histograms", "group_records")),
    Family("whisperer_shard_group_bytes", HISTOGRAM, _SHARD, "Bytes of one group.",
           _shard("commit", "histograms", "group_bytes")),
    Family("whisperer_shard_apply_seconds_total", COUNTER, _SHARD, "Time spent applying records.",
           _shard("commit", "apply_s")),
    Family("whisperer_shard_step_seconds_total", COUNTER, ("shard", "step"), "Time by the step it went to.", _steps),
    Family("whisperer_shard_waiting_records", GAUGE, _SHARD, "Records that came in and are not applied yet.",
           _shard("commit", "waiting")),
    Family("whisperer_shard_waiting_bytes", GAUGE, _SHARD, "Bytes of records waiting for the disk, payloads unpacked.",
           _shard("waiting_bytes")),
    Family("whisperer_shard_oldest_waiting_seconds", GAUGE, _SHARD, "Age of the oldest record not yet applied.",
           _shard("commit", "oldest_waiting_s")),
    Family("whisperer_shard_journal_bytes", GAUGE, _SHARD, "Bytes of journal kept.", _shard("journal_bytes")),
    Family("whisperer_shard_export_lag_bytes", GAUGE, _SHARD, "Bytes of journal that the warehouse does not have yet.",
           _shard_from(lambda shard: shard["journal_end"] - shard["exported"], "exported")),
    Family("whisperer_shard_export_rows_total", COUNTER, _SHARD, "Rows written to the warehouse.",
           _shard("warehouse_rows")),
    Family("whisperer_shard_snapshots_total", COUNTER, _SHARD, "Snapshots taken since the shard started.",
           _shard("snapshot", "taken")),
    Family("whisperer_shard_snapshot_seconds", GAUGE, _SHARD, "How long the newest snapshot took.",
           _shard("snapshot", "seconds")),
    Family("whisperer_shard_snapshot_bytes", GAUGE, _SHARD, "What the newest snapshot wrote.",
           _shard("snapshot", "bytes")),
    Family("whisperer_shard_snapshot_age_seconds", GAUGE, _SHARD, "Time since the newest snapshot was complete.",
           _shard_from(lambda shard: _age(shard["snapshot"].get("at")), "snapshot")),
    Family("whisperer_shard_snapshot_pause_seconds", GAUGE, _SHARD, "How long the newest snapshot stopped the shard.",
           _shard_from(lambda shard: _seconds(shard["snapshot"].get("pause_ms")), "snapshot")),
    Family("whisperer_shard_moves_total", COUNTER, ("shard", "direction"), "Partitions that moved since the start.",
           lambda document: [((shard["name"], direction), n) for shard in document["shards"]
                             for direction, n in shard.get("moves", {}).items()]),
    Family("whisperer_shard_recovery_seconds", GAUGE, _SHARD, "How long the start of this incarnation took.",
           _shard("recovery", "seconds")),
    Family("whisperer_shard_recovery_records", GAUGE, _SHARD, "Records replayed at the start of this incarnation.",
           _shard("recovery", "records")),
    Family("whisperer_shard_dedup_ids", GAUGE, _SHARD, "Message ids remembered.", _shard("dedup_ids")),
    Family("whisperer_shard_dedup_bytes", GAUGE, _SHARD, "Memory that they take.", _shard("dedup_bytes")),
    Family("whisperer_shard_dedup_evicted_total", COUNTER, _SHARD, "Message ids forgotten before their time.",
           _shard("dedup_evicted")),
    Family("whisperer_shard_letters_waiting", GAUGE, _SHARD,
           "Letters to other partitions (merges, events of merged keys, erasures) that these have not taken yet.",
           _shard("letters", "waiting")),
    Family("whisperer_shard_letters_taken_total", COUNTER, _SHARD, "Letters taken in for partitions that live here.",
           _shard("letters", "taken")),
    Family("whisperer_shard_letters_refused_total", COUNTER, ("shard", "reason"),
           "Letters refused because one before is missing here (gap) or their partition does not live here "
           "(elsewhere); each is sent again.",
           lambda document: [((shard["name"], reason), n) for shard in document["shards"]
                             for reason, n in shard.get("letters", {}).get("refused", {}).items()]),
    Family("whisperer_shard_erasures_waiting", GAUGE, _SHARD, "Erased users who may still be in the warehouse.",
           _shard("erasures_waiting")),
    Family("whisperer_shard_erasure_age_seconds", GAUGE, _SHARD, "Time since the first of them was erased.",
           _shard("retention", "erasure_age_s")),
    Family("whisperer_shard_oldest_bytes_age_seconds", GAUGE, ("shard", "place"),
           "Age of the oldest bytes that the shard's journal or snapshots hold.",
           lambda document: [((shard["name"], place), age) for shard in document["shards"]
                             for place in ("journal", "snapshots")
                             if (age := shard.get("retention", {}).get(f"{place}_age_s")) is not None]),
    Family("whisperer_shard_candidates_waiting", GAUGE, _SHARD, "Candidates that wait for the decisions application.",
           _shard("candidates_waiting")),
    Family("whisperer_shard_messages_to_send", GAUGE, _SHARD,
           "Messages that wait for the content and delivery applications.", _shard("messages_to_send")),
    Family("whisperer_shard_messages_under_way", GAUGE, _SHARD,
           "Messages that a provider may have and has not answered for yet.", _shard("messages_under_way")),
    Family("whisperer_shard_score_sweeps_total", COUNTER, _SHARD, "Sweeps that scored all users.",
           _shard("scoring", "sweeps")),
    Family("whisperer_shard_score_sweep_seconds_total", COUNTER, _SHARD, "Time that sweeps took, from end to end.",
           _shard("scoring", "seconds")),
    Family("whisperer_shard_scored_users_total", COUNTER, _SHARD, "Users scored, once a sweep each.",
           _shard("scoring", "users")),
    Family("whisperer_shard_score_fallbacks_total", COUNTER, _SHARD,
           "Sweeps of a tenant by the formula because its model could not be loaded.", _shard("scoring", "fallbacks")),
)  # fmt: skip
