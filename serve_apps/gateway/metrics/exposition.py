"""Writes the installation's counts in the Prometheus text format.

Labels are bounded: tenants to the :data:`MAX_TENANTS` oldest, replicas to those that reported lately, everything else
to what the code enumerates. Leaves to others: which metrics there are (:mod:`.families`), and counting (:mod:`.counts`,
:mod:`.measures`, `actors.shard.status`).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from actors.calls.provider_states import DeliveryReport
from actors.telemetry.measures import HistogramState
from serve_apps.gateway.metrics.documents import InstallationStatus, TenantStatus
from serve_apps.gateway.metrics.families import COUNTER, FAMILIES, HISTOGRAM, OTHERS, Family, Numbers
from serve_apps.gateway.metrics.measures import GATEWAY, ReplicaReport

MEDIA_TYPE = CONTENT_TYPE_LATEST
MAX_TENANTS = 1_000


def exposition(
    status: InstallationStatus,
    replicas: Sequence[ReplicaReport] = (),
    deliveries: Sequence[DeliveryReport] = (),
) -> bytes:
    """Return the text that Prometheus scrapes; ``replicas`` and ``deliveries`` are the reports of all replicas of the
    gateway and of the delivery application."""
    numbers = Numbers(
        _bounded(status.tenants),
        status.shards,
        status.learner,
        status.map_version,
        status.n_moved,
        [report for report in replicas if report.kind == GATEWAY],
        [report for report in replicas if report.kind != GATEWAY],
        deliveries,
    )
    registry = CollectorRegistry()
    registry.register(_Families(numbers))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, numbers: Numbers) -> None:
        self._numbers = numbers

    def collect(self) -> Iterator[Metric]:
        return (_metric(family, self._numbers) for family in FAMILIES)


def _metric(family: Family, numbers: Numbers) -> Metric:
    samples = family.samples(numbers)
    if family.kind == HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.text, labels=family.labels)
        for labels, state in samples:
            assert isinstance(state, HistogramState)
            histogram.add_metric(labels, _buckets(state), state.sum)
        return histogram
    make = CounterMetricFamily if family.kind == COUNTER else GaugeMetricFamily
    metric: CounterMetricFamily | GaugeMetricFamily = make(family.name, family.text, labels=family.labels)
    for labels, value in samples:
        assert not isinstance(value, HistogramState)
        metric.add_metric(labels, float(value))
    return metric


def _bounded(tenants: Mapping[str, TenantStatus]) -> list[tuple[str, TenantStatus]]:
    """Return (label, status) of each tenant. Ids sort by age, so a tenant with its own label keeps it."""
    by_age = sorted(tenants.items(), key=lambda item: item[1].id)
    return [(name if n < MAX_TENANTS else OTHERS, status) for n, (name, status) in enumerate(by_age)]


def _buckets(state: HistogramState) -> list[tuple[str, float]]:
    bounds = [*(f"{bound:.10g}" for bound in state.bounds), "+Inf"]
    return list(zip(bounds, itertools.accumulate(state.counts), strict=True))
