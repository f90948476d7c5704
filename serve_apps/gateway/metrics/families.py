"""Defines every metric of the installation: its name, kind, labels and meaning, and where its samples come from.

:data:`FAMILIES` is the whole list; docs/metrics.md repeats it, and a test keeps the two consistent. Samples are read
from one value, :class:`Numbers`: the installation's status and the replicas' reports.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from actors.calls.learner_views import AnyLearnerStatus, LearnerStatus
from actors.calls.provider_states import AccountState, DeliveryReport
from actors.calls.shard_status import SERVING, AnyStatus, ShardStatus
from actors.telemetry.measures import HistogramState
from serve_apps.gateway.metrics.documents import TenantStatus
from serve_apps.gateway.metrics.measures import ReplicaReport
from whisperer.delivery.breaker import BreakerState
from whisperer.ids import TenantId

OTHERS = "(others)"
"""Label for all tenants beyond the oldest thousand."""
DONE = "done"
TOKENS = "tokens"
"""The name under which tokens are counted among questions (`serve_apps.generation.asking`)."""

COUNTER, GAUGE, HISTOGRAM = "counter", "gauge", "histogram"

Value = float | HistogramState
Sample = tuple[Sequence[str], Value]


@dataclass(frozen=True, slots=True)
class Numbers:
    """Everything that is exposed; ``tenants`` are (label, status) pairs."""

    tenants: Sequence[tuple[str, TenantStatus]]
    shards: Sequence[AnyStatus]
    learner: AnyLearnerStatus
    map_version: int
    n_moved: int
    replicas: Sequence[ReplicaReport]
    """The gateways'."""
    content: Sequence[ReplicaReport] = ()
    """The content application's."""
    deliveries: Sequence[DeliveryReport] = ()

    @property
    def answering(self) -> list[ShardStatus]:
        """The shards that are not away."""
        return [shard for shard in self.shards if isinstance(shard, ShardStatus)]

    @property
    def labels(self) -> dict[str, str]:
        """Tenant id -> label."""
        return {status.id: label for label, status in self.tenants}


Samples = Callable[[Numbers], Iterable[Sample]]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric: the name it is exposed under, and how its samples are read."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str
    samples: Samples


def _summed(samples: Iterable[tuple[tuple[str, ...], float]]) -> list[Sample]:
    """Add up samples with equal labels: several tenants may share one."""
    found: dict[tuple[str, ...], float] = {}
    for labels, value in samples:
        found[labels] = found.get(labels, 0) + value
    return list(found.items())


def _tenant(get: Callable[[TenantStatus], float]) -> Samples:
    return lambda numbers: _summed(((label,), get(status)) for label, status in numbers.tenants)


def _tenant_by(get: Callable[[TenantStatus], Mapping[str, int]]) -> Samples:
    """Read a tenant's counts by a second label."""
    return lambda numbers: _summed(
        ((label, second), n) for label, status in numbers.tenants for second, n in get(status).items()
    )


def _closed(numbers: Numbers) -> list[Sample]:
    def each() -> Iterator[tuple[tuple[str, ...], float]]:
        for label, status in numbers.tenants:
            yield (label, "sent", ""), status.sent
            yield (label, "no_send", ""), status.no_send
            for reason, count in status.refused.items():
                yield (label, "refused", reason), count

    return _summed(each())


def _refused_by_replicas(get: Callable[[ReplicaReport], Mapping[str, Mapping[str, int]]]) -> Samples:
    """Read refusals counted by replicas, by tenant id; "" means that no good key was presented."""

    def samples(numbers: Numbers) -> list[Sample]:
        labels = numbers.labels | {"": ""}
        return _summed(
            ((replica.replica, labels.get(tenant, OTHERS), code), n)
            for replica in numbers.replicas
            for tenant, by_code in get(replica).items()
            for code, n in by_code.items()
        )

    return samples


def _replica(get: Callable[[ReplicaReport], Value]) -> Samples:
    return lambda numbers: [((replica.replica,), get(replica)) for replica in numbers.replicas]


def _level(name: str) -> Samples:
    """Read one of the levels that the replica was given."""
    return _replica(lambda replica: replica.levels.get(name, 0))


def _requests(numbers: Numbers) -> list[Sample]:
    return [
        ((replica.replica, route, method, str(status)), n)
        for replica in numbers.replicas
        for route, method, status, n in replica.requests
    ]


def _callbacks(numbers: Numbers) -> list[Sample]:
    return [
        ((replica.replica, provider, fate), n)
        for replica in numbers.replicas
        for provider, fate, n in replica.callbacks
    ]


def _accounts(get: Callable[[AccountState], Mapping[str, float]]) -> Samples:
    """Read what the delivery application counts of accounts, by tenant, channel, provider and a fourth label."""

    def each(numbers: Numbers) -> Iterator[tuple[tuple[str, ...], float]]:
        labels = numbers.labels
        for report in numbers.deliveries:
            for channel in report.channels:
                for account in channel.accounts:
                    for fourth, n in get(account).items():
                        names = (labels.get(channel.tenant, OTHERS), channel.channel, account.provider)
                        yield (*names, fourth), n

    return lambda numbers: _summed(each(numbers))


def _breakers(numbers: Numbers) -> list[Sample]:
    every = _accounts(lambda account: {"": float(account.breaker != BreakerState.CLOSED)})(numbers)
    return [(labels[:3], value) for labels, value in every]


def _generation(numbers: Numbers) -> list[Sample]:
    return _summed(
        ((replica.kind, numbers.labels.get(TenantId(tenant), OTHERS), what), n)
        for replica in (*numbers.replicas, *numbers.content)
        for tenant, what, n in replica.generation
        if what != TOKENS
    )


def _generation_tokens(numbers: Numbers) -> list[Sample]:
    return _summed(
        ((replica.kind, numbers.labels.get(TenantId(tenant), OTHERS)), n)
        for replica in (*numbers.replicas, *numbers.content)
        for tenant, what, n in replica.generation
        if what == TOKENS
    )


def _deprecated(numbers: Numbers) -> list[Sample]:
    return _summed(
        ((replica.replica, route, numbers.labels.get(tenant, OTHERS if tenant else "")), n)
        for replica in numbers.replicas
        for route, tenant, n in replica.deprecated
    )


def _calls(numbers: Numbers) -> list[Sample]:
    return [
        ((replica.replica, method, result), n) for replica in numbers.replicas for method, result, n in replica.calls
    ]


def _jobs_open(numbers: Numbers) -> list[Sample]:
    return [
        ((replica.replica, lane, state), n)
        for replica in numbers.replicas
        for lane, count in replica.jobs.items()
        for state, n in (("running", count.running), ("waiting", count.waiting))
    ]


def _jobs_ended(numbers: Numbers) -> list[Sample]:
    return [
        ((replica.replica, lane, ending), n)
        for replica in numbers.replicas
        for lane, count in replica.jobs.items()
        for ending, n in count.endings.items()
    ]


def _replica_histograms(get: Callable[[ReplicaReport], Mapping[str, HistogramState]]) -> Samples:
    return lambda numbers: [
        ((replica.replica, label), state) for replica in numbers.replicas for label, state in get(replica).items()
    ]


def _shard(get: Callable[[ShardStatus], Value | None]) -> Samples:
    """Read a number in each shard's status; a shard that is away, or has no value yet, has no sample."""
    return lambda numbers: [((shard.name,), value) for shard in numbers.answering if (value := get(shard)) is not None]


def _shard_by(get: Callable[[ShardStatus], Mapping[str, float]]) -> Samples:
    """Read a shard's numbers by a second label."""
    return lambda numbers: [
        ((shard.name, label), value) for shard in numbers.answering for label, value in get(shard).items()
    ]


def _moves(numbers: Numbers) -> list[Sample]:
    return [
        ((shard.name, direction), n)
        for shard in numbers.answering
        for direction, n in (("left", shard.moves.left), ("joined", shard.moves.joined))
    ]


def _ages(numbers: Numbers) -> list[Sample]:
    return [
        ((shard.name, place), age)
        for shard in numbers.answering
        for place, age in (
            ("journal", shard.retention.journal_age_s),
            ("snapshots", shard.retention.snapshots_age_s),
        )
        if age is not None
    ]


def _shard_calls(numbers: Numbers) -> list[Sample]:
    return [
        ((shard.name, method, reason or DONE), n)
        for shard in numbers.answering
        for method, reason, n in shard.calls.answered
    ]


def _learner(get: Callable[[LearnerStatus], float]) -> Samples:
    """Read a number of the learner's; none while it is away."""
    return lambda numbers: [((), get(numbers.learner))] if isinstance(numbers.learner, LearnerStatus) else []


def _learner_by(get: Callable[[LearnerStatus], Mapping[str, int]]) -> Samples:
    def samples(numbers: Numbers) -> list[Sample]:
        learner = numbers.learner
        return [((label,), n) for label, n in get(learner).items()] if isinstance(learner, LearnerStatus) else []

    return samples


def _score_models(numbers: Numbers) -> list[Sample]:
    """Report each tenant's score model by name and the beginning of its digest, "" for the formula."""
    labels = numbers.labels
    return _summed(
        ((labels.get(tenant, OTHERS), found.model, found.digest[:12]), 1)
        for shard in numbers.answering
        for tenant, found in shard.scoring.models.items()
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
           lambda numbers: [((), numbers.map_version)]),
    Family("whisperer_partitions_moved", GAUGE, (), "Partitions that live elsewhere than where they began.",
           lambda numbers: [((), numbers.n_moved)]),
    Family("whisperer_learner_serving", GAUGE, (), "1 while the learner answers.",
           lambda numbers: [((), float(isinstance(numbers.learner, LearnerStatus)))]),
    Family("whisperer_learner_rewards_total", COUNTER, ("fate",), "Rewards by what became of them.",
           _learner_by(lambda learner: learner.rewards)),
    Family("whisperer_learner_alarms_total", COUNTER, ("kind",), "Alarms of drift since campaigns began.",
           _learner_by(lambda learner: learner.alarms)),
    Family("whisperer_learner_campaigns_in_alarm", GAUGE, (), "Campaigns that explore more and forget faster.",
           _learner(lambda learner: learner.campaigns_in_alarm)),
    Family("whisperer_models_scored_total", COUNTER, (), "Decisions that a value model scored.",
           _learner(lambda learner: learner.models.scored)),
    Family("whisperer_models_shadow_total", COUNTER, (), "Decisions that a value model scored in shadow.",
           _learner(lambda learner: learner.models.shadow)),
    Family("whisperer_models_without_total", COUNTER, ("reason",),
           "Decisions made without the value model whose turn it was.",
           _learner_by(lambda learner: learner.models.without)),
    Family("whisperer_score_model_shards", GAUGE, ("tenant", "model", "digest"),
           "Shards whose last sweep scored the tenant's users by this model.", _score_models),
    # -- events
    Family("whisperer_events_accepted_total", COUNTER, _TENANT, "Events counted, each messageId once.",
           _tenant(lambda tenant: tenant.events_accepted)),
    Family("whisperer_events_duplicate_total", COUNTER, _TENANT,
           "Events dropped because their messageId was counted.", _tenant(lambda tenant: tenant.events_duplicate)),
    Family("whisperer_events_dropped_total", COUNTER, ("tenant", "reason"), "Events counted that changed nobody.",
           _tenant_by(lambda tenant: tenant.events_dropped)),
    Family("whisperer_events_unnamed_total", COUNTER, _TENANT,
           "Events counted as (other), as the tenant's table of names was full.",
           _tenant(lambda tenant: tenant.events_unnamed)),
    Family("whisperer_names", GAUGE, ("tenant", "kind"),
           "Distinct event names, time zones and locales in the shard that has most of them.",
           _tenant_by(lambda tenant: tenant.names)),
    Family("whisperer_names_retired_total", COUNTER, _TENANT,
           "Names let go because they were used least when codes were short.",
           _tenant(lambda tenant: tenant.names_retired)),
    Family("whisperer_traits_refused_total", COUNTER, ("tenant", "reason"),
           "Traits of accepted events that their user had no room for.",
           _tenant_by(lambda tenant: tenant.traits_refused)),
    Family("whisperer_events_rejected_total", COUNTER, ("replica", "tenant", "code"),
           "Events turned away since the replica started.", _refused_by_replicas(lambda replica: replica.rejected)),
    Family("whisperer_events_noticed_total", COUNTER, ("replica", "tenant", "notice"),
           "Oddities of accepted events since the replica started.",
           _refused_by_replicas(lambda replica: replica.notices)),
    Family("whisperer_dedup_ids", GAUGE, _TENANT, "Message ids remembered.", _tenant(lambda tenant: tenant.dedup_ids)),
    Family("whisperer_dedup_evicted_total", COUNTER, _TENANT, "Message ids forgotten before their time.",
           _tenant(lambda tenant: tenant.dedup_evicted)),
    Family("whisperer_users", GAUGE, _TENANT, "Users with a profile.", _tenant(lambda tenant: tenant.users)),
    Family("whisperer_state_bytes", GAUGE, ("tenant", "part"), "Memory that users' state takes, by what it holds.",
           _tenant_by(lambda tenant: tenant.bytes)),
    # -- the loop
    Family("whisperer_candidates_total", COUNTER, _TENANT, "Users considered by campaigns.",
           _tenant(lambda tenant: tenant.candidates)),
    Family("whisperer_candidates_closed_total", COUNTER, ("tenant", "outcome", "reason"),
           "Candidates by how they ended.", _closed),
    Family("whisperer_sends_unknown_total", COUNTER, _TENANT,
           "Messages that were handed over and had no answer, among the sent.", _tenant(lambda tenant: tenant.unknown)),
    Family("whisperer_candidates_pending", GAUGE, _TENANT, "Waiting for a choice or a receipt.",
           _tenant(lambda tenant: tenant.pending)),
    Family("whisperer_conversions_total", COUNTER, _TENANT, "Decisions whose goal was reached.",
           _tenant(lambda tenant: tenant.conversions)),
    # -- gateway
    Family("whisperer_gateway_requests_total", COUNTER, ("replica", "route", "method", "status"),
           "HTTP requests answered.", _requests),
    Family("whisperer_callbacks_total", COUNTER, ("replica", "provider", "fate"),
           "Callbacks of providers, and the events in them, by what became of them.", _callbacks),
    Family("whisperer_provider_attempts_total", COUNTER, ("tenant", "channel", "provider", "status"),
           "Attempts to send, by what became of them.", _accounts(lambda account: account.receipts)),
    Family("whisperer_provider_held_total", COUNTER, ("tenant", "channel", "provider", "reason"),
           "Times that messages were told to wait for their turn.", _accounts(lambda account: account.held)),
    Family("whisperer_provider_searches_total", COUNTER, ("tenant", "channel", "provider", "result"),
           "Looks for messages whose outcome was unknown, by what they came to.",
           _accounts(lambda account: account.searches)),
    Family("whisperer_provider_breakers_open", GAUGE, ("tenant", "channel", "provider"),
           "Accounts that are left alone because they fail, one a replica.", _breakers),
    Family("whisperer_generation_total", COUNTER, ("application", "tenant", "ruling"),
           "Questions to models by what became of them.", _generation),
    Family("whisperer_generation_tokens_total", COUNTER, ("application", "tenant"),
           "Tokens that models used, as their endpoints count them.", _generation_tokens),
    Family("whisperer_gateway_deprecated_calls_total", COUNTER, ("replica", "route", "tenant"),
           "Calls of routes that are to go.", _deprecated),
    Family("whisperer_gateway_request_seconds", HISTOGRAM, ("replica", "route"),
           "Time from the first byte of a request's head to the end of its answer.",
           _replica_histograms(lambda replica: replica.request_seconds)),
    Family("whisperer_gateway_body_bytes", HISTOGRAM, _REPLICA, "Content-Length of requests that have a body.",
           _replica(lambda replica: replica.body_bytes)),
    Family("whisperer_gateway_requests_in_flight", GAUGE, _REPLICA, "Requests being worked on.",
           _replica(lambda replica: replica.in_flight)),
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
    Family("whisperer_gateway_control_plane_away", GAUGE, _REPLICA,
           "1 while the control plane's database does not answer the replica.",
           _level("control_plane_away")),
    Family("whisperer_gateway_queued_events", GAUGE, _REPLICA, "Events that wait for a shard to store them.",
           _level("queued_events")),
    Family("whisperer_gateway_jobs", GAUGE, ("replica", "lane", "state"), "Jobs for callers, running or waiting.",
           _jobs_open),
    Family("whisperer_gateway_jobs_total", COUNTER, ("replica", "lane", "ending"),
           "Jobs for callers by how they ended.", _jobs_ended),
    Family("whisperer_gateway_call_events", HISTOGRAM, _REPLICA, "Events that one call to a shard carries.",
           _replica(lambda replica: replica.call_events)),
    Family("whisperer_gateway_shard_calls_total", COUNTER, ("replica", "method", "result"),
           "Calls to shards by what came of them.", _calls),
    Family("whisperer_gateway_shard_call_seconds", HISTOGRAM, ("replica", "method"),
           "Time until a shard answered, or was given up.", _replica_histograms(lambda replica: replica.call_seconds)),
    Family("whisperer_gateway_rss_bytes", GAUGE, _REPLICA, "Resident memory.",
           _replica(lambda replica: replica.rss_bytes)),
    Family("whisperer_gateway_start_time_seconds", GAUGE, _REPLICA, "When the replica started, Unix time.",
           _replica(lambda replica: replica.started_at)),
    # -- shards
    Family("whisperer_shard_serving", GAUGE, _SHARD, "1 while the shard answers.",
           lambda numbers: [((shard.name,), float(shard.state == SERVING)) for shard in numbers.shards]),
    Family("whisperer_shard_epoch", GAUGE, _SHARD, "Incarnation: rises with every start.",
           _shard(lambda shard: shard.epoch)),
    Family("whisperer_shard_rss_bytes", GAUGE, _SHARD, "Resident memory.", _shard(lambda shard: shard.rss_bytes)),
    Family("whisperer_shard_partitions", GAUGE, _SHARD, "Partitions that have had a record.",
           _shard(lambda shard: shard.partitions)),
    Family("whisperer_shard_users", GAUGE, _SHARD, "Users at home here.", _shard(lambda shard: shard.users)),
    Family("whisperer_shard_calls_under_way", GAUGE, _SHARD, "Calls in the mailbox that are not answered yet.",
           _shard(lambda shard: shard.calls.under_way)),
    Family("whisperer_shard_calls_total", COUNTER, ("shard", "method", "reason"),
           "Calls answered, by the reason why not done.", _shard_calls),
    Family("whisperer_shard_commit_groups_total", COUNTER, _SHARD, "Groups made durable, one sync each.",
           _shard(lambda shard: shard.commit.groups)),
    Family("whisperer_shard_commit_records_total", COUNTER, _SHARD, "Records made durable.",
           _shard(lambda shard: shard.commit.records)),
    Family("whisperer_shard_commit_bytes_total", COUNTER, _SHARD, "Bytes of records made durable.",
           _shard(lambda shard: shard.commit.bytes)),
    Family("whisperer_shard_sync_seconds", HISTOGRAM, _SHARD, "Time to write and sync one group.",
           _shard(lambda shard: shard.commit.histograms.sync)),
    Family("whisperer_shard_commit_seconds", HISTOGRAM, _SHARD,
           "Time from a group's first record coming in until the group was applied and answered.",
           _shard(lambda shard: shard.commit.histograms.wait)),
    Family("whisperer_shard_group_records", HISTOGRAM, _SHARD, "Records of one group.",
           _shard(lambda shard: shard.commit.histograms.group_records)),
    Family("whisperer_shard_group_bytes", HISTOGRAM, _SHARD, "Bytes of one group.",
           _shard(lambda shard: shard.commit.histograms.group_bytes)),
    Family("whisperer_shard_apply_seconds_total", COUNTER, _SHARD, "Time spent applying records.",
           _shard(lambda shard: shard.commit.apply_s)),
    Family("whisperer_shard_step_seconds_total", COUNTER, ("shard", "step"), "Time by the step it went to.",
           _shard_by(lambda shard: shard.commit.step_s)),
    Family("whisperer_shard_waiting_records", GAUGE, _SHARD, "Records that came in and are not applied yet.",
           _shard(lambda shard: shard.commit.waiting)),
    Family("whisperer_shard_waiting_bytes", GAUGE, _SHARD, "Bytes of records waiting for the disk, payloads unpacked.",
           _shard(lambda shard: shard.waiting_bytes)),
    Family("whisperer_shard_oldest_waiting_seconds", GAUGE, _SHARD, "Age of the oldest record not yet applied.",
           _shard(lambda shard: shard.commit.oldest_waiting_s)),
    Family("whisperer_shard_journal_bytes", GAUGE, _SHARD, "Bytes of journal kept.",
           _shard(lambda shard: shard.journal_bytes)),
    Family("whisperer_shard_export_lag_bytes", GAUGE, _SHARD, "Bytes of journal that the warehouse does not have yet.",
           _shard(lambda shard: shard.journal_end - shard.exported)),
    Family("whisperer_shard_export_rows_total", COUNTER, _SHARD, "Rows written to the warehouse.",
           _shard(lambda shard: shard.warehouse_rows)),
    Family("whisperer_shard_snapshots_total", COUNTER, _SHARD, "Snapshots taken since the shard started.",
           _shard(lambda shard: shard.snapshot.taken)),
    Family("whisperer_shard_snapshot_seconds", GAUGE, _SHARD, "How long the newest snapshot took.",
           _shard(lambda shard: shard.snapshot.seconds)),
    Family("whisperer_shard_snapshot_bytes", GAUGE, _SHARD, "What the newest snapshot wrote.",
           _shard(lambda shard: shard.snapshot.bytes)),
    Family("whisperer_shard_snapshot_age_seconds", GAUGE, _SHARD, "Time since the newest snapshot was complete.",
           _shard(lambda shard: _age(shard.snapshot.at))),
    Family("whisperer_shard_snapshot_pause_seconds", GAUGE, _SHARD, "How long the newest snapshot stopped the shard.",
           _shard(lambda shard: _seconds(shard.snapshot.pause_ms))),
    Family("whisperer_shard_moves_total", COUNTER, ("shard", "direction"), "Partitions that moved since the start.",
           _moves),
    Family("whisperer_shard_recovery_seconds", GAUGE, _SHARD, "How long the start of this incarnation took.",
           _shard(lambda shard: shard.recovery.seconds)),
    Family("whisperer_shard_recovery_records", GAUGE, _SHARD, "Records replayed at the start of this incarnation.",
           _shard(lambda shard: shard.recovery.records)),
    Family("whisperer_shard_dedup_ids", GAUGE, _SHARD, "Message ids remembered.",
           _shard(lambda shard: shard.dedup_ids)),
    Family("whisperer_shard_dedup_bytes", GAUGE, _SHARD, "Memory that they take.",
           _shard(lambda shard: shard.dedup_bytes)),
    Family("whisperer_shard_dedup_evicted_total", COUNTER, _SHARD, "Message ids forgotten before their time.",
           _shard(lambda shard: shard.dedup_evicted)),
    Family("whisperer_shard_letters_waiting", GAUGE, _SHARD,
           "Letters to other partitions (merges, events of merged keys, erasures) that these have not taken yet.",
           _shard(lambda shard: shard.letters.waiting)),
    Family("whisperer_shard_letters_taken_total", COUNTER, _SHARD, "Letters taken in for partitions that live here.",
           _shard(lambda shard: shard.letters.taken)),
    Family("whisperer_shard_letters_refused_total", COUNTER, ("shard", "reason"),
           "Letters refused because one before is missing here (gap) or their partition does not live here "
           "(elsewhere); each is sent again.",
           _shard_by(lambda shard: shard.letters.refused)),
    Family("whisperer_shard_erasures_waiting", GAUGE, _SHARD, "Erased users who may still be in the warehouse.",
           _shard(lambda shard: shard.erasures_waiting)),
    Family("whisperer_shard_erasure_age_seconds", GAUGE, _SHARD, "Time since the first of them was erased.",
           _shard(lambda shard: shard.retention.erasure_age_s)),
    Family("whisperer_shard_oldest_bytes_age_seconds", GAUGE, ("shard", "place"),
           "Age of the oldest bytes that the shard's journal or snapshots hold.",
           _ages),
    Family("whisperer_shard_candidates_waiting", GAUGE, _SHARD, "Candidates that wait for the decisions application.",
           _shard(lambda shard: shard.candidates_waiting)),
    Family("whisperer_shard_messages_to_send", GAUGE, _SHARD,
           "Messages that wait for the content and delivery applications.",
           _shard(lambda shard: shard.messages_to_send)),
    Family("whisperer_shard_messages_under_way", GAUGE, _SHARD,
           "Messages that a provider may have and has not answered for yet.",
           _shard(lambda shard: shard.messages_under_way)),
    Family("whisperer_shard_score_sweeps_total", COUNTER, _SHARD, "Sweeps that scored all users.",
           _shard(lambda shard: shard.scoring.sweeps)),
    Family("whisperer_shard_score_sweep_seconds_total", COUNTER, _SHARD, "Time that sweeps took, from end to end.",
           _shard(lambda shard: shard.scoring.seconds)),
    Family("whisperer_shard_scored_users_total", COUNTER, _SHARD, "Users scored, once a sweep each.",
           _shard(lambda shard: shard.scoring.users)),
    Family("whisperer_shard_score_fallbacks_total", COUNTER, _SHARD,
           "Sweeps of a tenant by the formula because its model could not be loaded.",
           _shard(lambda shard: shard.scoring.fallbacks)),
)  # fmt: skip
