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

from serve_apps.gateway.metrics.families import COUNTER, FAMILIES, HISTOGRAM, OTHERS, Document, Family

MEDIA_TYPE = CONTENT_TYPE_LATEST
MAX_TENANTS = 1_000


def exposition(status: Document, replicas: Sequence[Document] = ()) -> bytes:
    """Return the text that Prometheus scrapes.

    Parameters
    ----------
    status : as :meth:`serve_apps.gateway.metrics.status.Overview.status` returns it
    replicas : reports of :class:`serve_apps.gateway.metrics.measures.Measures`, one per gateway replica
    """
    document = {**status, "tenants": _bounded(status["tenants"]), "replicas": replicas}
    registry = CollectorRegistry()
    registry.register(_Families(document))
    return generate_latest(registry)


class _Families(Collector):
    def __init__(self, document: Document) -> None:
        self._document = document

    def collect(self) -> Iterator[Metric]:
        return (_metric(family, self._document) for family in FAMILIES)


def _metric(family: Family, document: Document) -> Metric:
    samples = family.samples(document)
    if family.kind == HISTOGRAM:
        histogram = HistogramMetricFamily(family.name, family.text, labels=family.labels)
        for labels, state in samples:
            assert isinstance(state, dict)
            histogram.add_metric(labels, _buckets(state), state["sum"])
        return histogram
    make = CounterMetricFamily if family.kind == COUNTER else GaugeMetricFamily
    metric: CounterMetricFamily | GaugeMetricFamily = make(family.name, family.text, labels=family.labels)
    for labels, value in samples:
        assert not isinstance(value, dict)
        metric.add_metric(labels, float(value))
    return metric


def _bounded(tenants: Mapping[str, Document]) -> list[tuple[str, Document]]:
    """Return (label, counts) of each tenant. Ids sort by age, so a tenant with its own label keeps it."""
    by_age = sorted(tenants.items(), key=lambda item: item[1].get("id", ""))
    return [(name if n < MAX_TENANTS else OTHERS, counts) for n, (name, counts) in enumerate(by_age)]


def _buckets(state: Document) -> list[tuple[str, float]]:
    bounds = [*(f"{bound:.10g}" for bound in state["bounds"]), "+Inf"]
    return list(zip(bounds, itertools.accumulate(state["counts"]), strict=True))
