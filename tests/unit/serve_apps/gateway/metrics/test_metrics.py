"""The exposition: what docs/metrics.md says, bounded, and the numbers of all replicas."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from actors.calls.call_log import REASONS
from actors.calls.learner_views import LearnerAway, LearnerStatus, ModelAnswers
from actors.calls.provider_states import AccountState, ChannelState, DeliveryReport
from actors.calls.shard_status import (
    CallsState,
    CommitHistograms,
    CommitState,
    MovesState,
    RecoveryState,
    RetentionState,
    ScoreModelState,
    ScoringState,
    ShardAway,
    ShardStatus,
    SnapshotState,
)
from actors.calls.shards import CALL_RESULTS
from actors.jobs import JobsCount
from actors.shard.commit import CommitCounts
from actors.telemetry.measures import Histogram
from serve_apps.gateway.metrics.counts import ReplicaCounts
from serve_apps.gateway.metrics.documents import InstallationStatus, TenantStatus
from serve_apps.gateway.metrics.exposition import MAX_TENANTS, exposition
from serve_apps.gateway.metrics.families import FAMILIES, OTHERS
from serve_apps.gateway.metrics.measures import Measures
from tests.support.stand import SHARED
from tests.unit.serve_apps.gateway.exposed import DOCUMENT, documented, exposed, labels_documented
from tests.unit.serve_apps.gateway.statuses import serving
from whisperer.events.outcome import Notice
from whisperer.events.refusals import Code
from whisperer.ids import TenantId
from whisperer.shard.steps import STEPS
from whisperer.shard.views.counts import TenantCounts

ROOT = Path(__file__).parents[5]
DASHBOARD = ROOT / "docs" / "dashboards" / "ingestion.json"


def tenant(id: str, **more: Any) -> TenantStatus:
    return msgspec.structs.replace(TenantStatus.of(id, TenantCounts(), {}, {}), **more)


def shard(name: str) -> ShardStatus:
    """A status as a shard that serves gives it."""
    counts = CommitCounts()
    counts.sync.observe(0.002)
    histograms = CommitHistograms(
        counts.sync.state(), counts.wait.state(), counts.group_records.state(), counts.group_bytes.state()
    )
    return serving(
        name,
        epoch=3,
        journal_end=100,
        exported=40,
        recovery=RecoveryState(7, 0.5),
        snapshot=SnapshotState(taken=1, at=1.0, seconds=0.1, bytes=9, pause_ms=12.0),
        moves=MovesState(1, 0),
        retention=RetentionState(30.0, 5.0, 6.0, 7.0),
        commit=CommitState(1, 2, 3, 0.1, 0.2, {"dedup": 0.5}, 0, 0.0, histograms),
        calls=CallsState(4, [("ingest", "", 5), ("ingest", "overloaded", 1)]),
        scoring=ScoringState(sweeps=2, users=6, models={"tn_1": ScoreModelState("churn@3", "0f" * 32, "")}),
    )


LEARNER = LearnerStatus(
    pid=1,
    number=1,
    campaigns=1,
    rewards={"learned": 8, "bad_arm": 1},
    missing=0,
    waiting_to_mature=0,
    alarms={"residuals": 2},
    campaigns_in_alarm=1,
    models=ModelAnswers(30, 20, {"late": 3}),
    unstored=False,
    store_s=0.0,
    shards_away={},
    budgets=0,
)


def status(**more: Any) -> InstallationStatus:
    acme = tenant(
        "tn_1",
        events_accepted=7,
        refused={"capped": 2},
        events_dropped={"user_erased": 1},
        bytes={"columns": 10},
        names={"event": 3},
        traits_refused={"traits_full": 2},
    )
    found = InstallationStatus({"acme": acme}, {}, [shard("shard-0")], LEARNER, 2, 1)
    return msgspec.structs.replace(found, **more)


def doing(*tenants: str) -> DeliveryReport:
    """What a replica of the delivery application says of a channel of each tenant."""
    account = AccountState(
        account="backup",
        provider="smtp",
        breaker="open",
        closed_for_ms=4_000,
        times_opened=1,
        under_way=2,
        receipts={"accepted": 3, "retry": 5},
        held={"breaker": 7},
        searches={"found": 1, "unclear": 2},
    )
    channels = [ChannelState(TenantId(tenant), "email", [account]) for tenant in tenants or ("tn_1",)]
    return DeliveryReport(replica="r1", channels=channels)


def measures(replica: str = "r1") -> Measures:
    counts = ReplicaCounts(10)
    counts.rejected["tn_1"]["missing_identity"] = 3
    counts.rejected[""]["invalid_key"] = 1
    counts.notices["tn_1"]["invalid_revenue"] = 2
    made = Measures(counts, replica)
    made.jobs = lambda: {"reports": JobsCount(running=1, waiting=2, endings={"done": 3})}
    made.levels = {"queued_events": lambda: 5, "in_flight_bytes": lambda: 6}
    made.answered("/v1/batch", "POST", 200, 0.02, 200_000)
    made.called("ingest", "answered", 0.004)
    made.called_deprecated("/v1/old", "tn_1")
    made.heard("smtp", "taken", 2)
    made.heard("smtp", "forged", 0)
    made.generation = {("tn_1", "written"): 3, ("tn_1", "late"): 1, ("tn_1", "tokens"): 400}
    made.call_events.observe(500)
    return made


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """(name, label values in order of their names) -> value"""
    return {
        (s.name, *(v for _, v in sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text.decode())
        for s in family.samples
    }


def test_what_is_exposed_is_what_the_page_says_and_the_other_way_round() -> None:
    told = {name: Told._replace(labels=tuple(sorted(Told.labels))) for name, Told in documented().items()}
    assert exposed(exposition(status(), [measures().report()], [doing()]).decode()) == told
    assert len(told) > 60


def test_every_metric_is_there_before_anything_has_happened() -> None:
    text = exposition(InstallationStatus({}, {}, [], LearnerAway("away", "a test has none"), 0, 0)).decode()
    assert set(exposed(text)) == set(documented())


def test_every_label_is_on_the_page_with_its_bound() -> None:
    assert labels_documented() == {label for family in FAMILIES for label in family.labels}
    page = DOCUMENT.read_text()
    for value in (*STEPS, *REASONS, *CALL_RESULTS):
        assert f"`{value}`" in page, value
    assert len(Code) <= 20
    assert len(Notice) <= 7


def test_the_numbers_are_those_of_shards_and_replicas() -> None:
    found = samples(exposition(status(), [measures().report()]))
    assert found["whisperer_events_accepted_total", "acme"] == 7
    assert found["whisperer_candidates_closed_total", "refused", "capped", "acme"] == 2
    assert found["whisperer_events_rejected_total", "missing_identity", "r1", "acme"] == 3
    assert found["whisperer_events_rejected_total", "invalid_key", "r1", ""] == 1
    assert found["whisperer_gateway_requests_total", "POST", "r1", "/v1/batch", "200"] == 1
    assert found["whisperer_gateway_request_seconds_bucket", "0.01", "r1", "/v1/batch"] == 0
    assert found["whisperer_gateway_request_seconds_bucket", "0.025", "r1", "/v1/batch"] == 1
    assert found["whisperer_gateway_request_seconds_bucket", "+Inf", "r1", "/v1/batch"] == 1
    assert found["whisperer_gateway_request_seconds_sum", "r1", "/v1/batch"] == pytest.approx(0.02)
    assert found["whisperer_gateway_call_events_count", "r1"] == 1
    assert found["whisperer_learner_rewards_total", "bad_arm"] == 1
    assert found["whisperer_learner_alarms_total", "residuals"] == 2
    assert found["whisperer_learner_campaigns_in_alarm",] == 1
    assert [found[f"whisperer_models_{name}_total",] for name in ("scored", "shadow")] == [30, 20]
    assert found["whisperer_models_without_total", "late"] == 3
    assert found["whisperer_shard_sync_seconds_count", "shard-0"] == 1
    assert found["whisperer_shard_export_lag_bytes", "shard-0"] == 60
    assert found["whisperer_shard_calls_total", "ingest", "overloaded", "shard-0"] == 1
    assert found["whisperer_shard_calls_total", "ingest", "done", "shard-0"] == 5


def test_each_replica_has_its_own_series() -> None:
    found = samples(exposition(status(), [measures("r1").report(), measures("r2").report()]))
    for replica in ("r1", "r2"):
        assert found["whisperer_events_rejected_total", "missing_identity", replica, "acme"] == 3


def test_a_shard_that_is_away_has_only_that_it_is() -> None:
    away = ShardAway("shard-1", "recovering", "it died")
    found = samples(exposition(status(shards=[shard("shard-0"), away])))
    assert found["whisperer_shard_serving", "shard-1"] == 0
    assert [key[0] for key in found if "shard-1" in key] == ["whisperer_shard_serving"]


def test_tenants_beyond_the_oldest_thousand_share_a_label() -> None:
    many = {f"t{n}": tenant(f"tn_{n:06}", events_accepted=1) for n in reversed(range(MAX_TENANTS + 7))}
    late = {f"tn_{MAX_TENANTS + 3:06}": {"invalid_event": 2}, "tn_of_nobody_known": {"invalid_event": 1}}
    report = msgspec.structs.replace(measures().report(), rejected=late)
    found = samples(exposition(status(tenants=many), [report]))
    accepted = {key[1]: value for key, value in found.items() if key[0] == "whisperer_events_accepted_total"}
    assert len(accepted) == MAX_TENANTS + 1
    assert accepted[OTHERS] == 7
    assert accepted["t0"] == 1
    assert f"t{MAX_TENANTS}" not in accepted
    assert found["whisperer_events_rejected_total", "invalid_event", "r1", OTHERS] == 3


def test_a_histogram_in_the_text_never_falls() -> None:
    histogram = Histogram()
    for value in (0.001, 0.2, 50.0):
        histogram.observe(value)
    report = msgspec.structs.replace(measures().report(), call_seconds={"ingest": histogram.state()})
    text = exposition(status(), [report]).decode()
    buckets = re.findall(r"^whisperer_gateway_shard_call_seconds_bucket\{.*\} (\S+)$", text, re.MULTILINE)
    numbers = [float(bucket) for bucket in buckets]
    assert numbers == sorted(numbers)
    assert numbers[-1] == 3


@pytest.mark.skipif(not (SHARED / "contracts" / "grafana").exists(), reason="Grafana's schema is not on this machine")
def test_the_dashboard_is_one_that_grafana_takes() -> None:
    schema = json.loads((SHARED / "contracts" / "grafana" / "dashboard.jsonschema.json").read_text())
    jsonschema.validate(json.loads(DASHBOARD.read_text()), schema)


def test_the_dashboard_and_the_page_ask_for_metrics_that_exist() -> None:
    names = set(documented())
    names |= {
        f"{n}_{part}"
        for n, told in documented().items()
        if told.kind == "histogram"
        for part in ("bucket", "sum", "count")
    }
    questions = DOCUMENT.read_text().partition("## Questions")[2] + DASHBOARD.read_text()
    asked = set(re.findall(r"whisperer_\w+", questions))
    assert asked <= names
    assert len(asked) > 30
