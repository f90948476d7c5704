"""The installation's counts in the Prometheus text format. Labels are bounded: tenants, codes, reasons, shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

MEDIA_TYPE = CONTENT_TYPE_LATEST

_TENANT = ["tenant"]
_SHARD = ["shard"]


def exposition(status: dict[str, Any]) -> bytes:
    """``status`` as :meth:`serve_apps.gateway.overview.Overview.status` gives it."""
    registry = CollectorRegistry()
    registry.register(_Status(status))
    return generate_latest(registry)


class _Status(Collector):
    def __init__(self, status: dict[str, Any]) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        tenants, shards = self._status["tenants"].items(), self._status["shards"]
        for name, key, text in (
            ("whisperer_events_accepted", "events_accepted", "Events counted, each messageId once."),
            ("whisperer_events_duplicate", "events_duplicate", "Events dropped because their messageId was counted."),
        ):
            counter = CounterMetricFamily(name, text, labels=_TENANT)
            for tenant, counted in tenants:
                counter.add_metric([tenant], counted[key])
            yield counter
        rejected = CounterMetricFamily(
            "whisperer_events_rejected", "Events turned away since the gateway started.", labels=["tenant", "code"]
        )
        for tenant, counted in tenants:
            for code, count in counted["events_rejected"].items():
                rejected.add_metric([tenant, code], count)
        yield rejected
        users = GaugeMetricFamily("whisperer_users", "Users with a profile.", labels=_TENANT)
        for tenant, counted in tenants:
            users.add_metric([tenant], counted["users"])
        yield users
        yield from _loop(tenants)
        serving = GaugeMetricFamily("whisperer_shard_serving", "1 while the shard answers.", labels=_SHARD)
        for shard in shards:
            serving.add_metric([shard["name"]], float(shard["state"] == "serving"))
        yield serving
        for name, key, text in (
            ("whisperer_shard_journal_bytes", "journal_bytes", "Bytes of journal kept."),
            ("whisperer_shard_waiting_bytes", "waiting_bytes", "Bytes of records waiting for the disk."),
            ("whisperer_shard_rss_bytes", "rss_bytes", "Resident memory."),
            ("whisperer_shard_epoch", "epoch", "Incarnation: rises with every start."),
        ):
            gauge = GaugeMetricFamily(name, text, labels=_SHARD)
            for shard in shards:
                if key in shard:
                    gauge.add_metric([shard["name"]], shard[key])
            yield gauge
        for name, key, text in (
            ("whisperer_shard_commit_groups", "groups", "Groups made durable, one sync each."),
            ("whisperer_shard_sync_seconds", "sync_s", "Time spent writing and syncing the journal."),
            ("whisperer_shard_apply_seconds", "apply_s", "Time spent applying records."),
        ):
            counter = CounterMetricFamily(name, text, labels=_SHARD)
            for shard in shards:
                if "commit" in shard:
                    counter.add_metric([shard["name"]], shard["commit"][key])
            yield counter


def _loop(tenants: Iterable[tuple[str, dict[str, Any]]]) -> Iterator[Metric]:
    """Candidates by what became of them: closed ones count up, pending ones come and go."""
    considered = CounterMetricFamily("whisperer_candidates", "Users considered by campaigns.", labels=_TENANT)
    closed = CounterMetricFamily(
        "whisperer_candidates_closed", "Candidates by how they ended.", labels=["tenant", "outcome", "reason"]
    )
    pending = GaugeMetricFamily("whisperer_candidates_pending", "Waiting for a choice or a receipt.", labels=_TENANT)
    conversions = CounterMetricFamily("whisperer_conversions", "Decisions whose goal was reached.", labels=_TENANT)
    for tenant, counted in tenants:
        considered.add_metric([tenant], counted["candidates"])
        closed.add_metric([tenant, "sent", ""], counted["sent"])
        closed.add_metric([tenant, "no_send", ""], counted["no_send"])
        for reason, count in counted["refused"].items():
            closed.add_metric([tenant, "refused", reason], count)
        pending.add_metric([tenant], counted["pending"])
        conversions.add_metric([tenant], counted["conversions"])
    yield from (considered, closed, pending, conversions)
