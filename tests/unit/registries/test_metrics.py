"""Every metric's entry: named and typed as Prometheus has it, explained in plain English on its page, bounded in its
labels, and counted by somebody.

A new line of `serve_apps.gateway.metrics.families.FAMILIES` is tested here as it stands; it needs a row in
docs/metrics.md, and a place in `status()` or `measures()` of the gateway's tests if nothing there counts it yet.
"""

from __future__ import annotations

import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actors.calls.learner_views import LearnerAway
from actors.calls.shard_status import ScoreModelState, ScoringState, ShardAway
from actors.telemetry.measures import HistogramState
from serve_apps.gateway.metrics.exposition import MAX_TENANTS, exposition
from serve_apps.gateway.metrics.families import COUNTER, FAMILIES, GAUGE, HISTOGRAM, OTHERS, Family, Numbers
from tests.unit.serve_apps.gateway.exposed import DOCUMENT
from tests.unit.serve_apps.gateway.metrics.test_metrics import doing, measures, samples, shard, status, tenant
from whisperer.shard.state.tenant import COUNTED

ROOT = Path(__file__).parents[3]
UNITS = {"seconds": ("seconds", "Unix time"), "bytes": ("bytes",)}
"""Ending of a name -> the units that the page may give it."""

every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def row(family: Family) -> list[str]:
    """The cells of the metric's row: name, type, labels, unit, meaning, what to do."""
    [found] = re.findall(rf"^\| `{family.name}` \| .*$", DOCUMENT.read_text(), re.MULTILINE)
    return [cell.strip() for cell in found.strip("|").split(" | ")]


def everything(**more: Any) -> Numbers:
    """Numbers of an installation in which every part has done something."""
    found = status()
    numbers = Numbers(
        tenants=list(found.tenants.items()),
        shards=found.shards,
        learner=found.learner,
        map_version=found.map_version,
        n_moved=found.n_moved,
        replicas=[measures().report()],
        deliveries=[doing()],
    )
    return replace(numbers, **more)


def test_a_name_stands_once() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


@every_family
def test_a_name_says_what_kind_it_is_and_in_which_unit(family: Family) -> None:
    assert re.fullmatch(r"whisperer(_[a-z]+)+", family.name)
    assert family.kind in (COUNTER, GAUGE, HISTOGRAM)
    assert (family.kind == COUNTER) == family.name.endswith("_total")
    ending = family.name.removesuffix("_total").rpartition("_")[2]
    unit = row(family)[3]
    if ending in UNITS:
        assert unit in UNITS[ending]
    else:
        assert unit not in ("seconds", "bytes")


@every_family
def test_its_help_is_a_short_sentence_in_plain_english(family: Family) -> None:
    assert re.match(r"[A-Z]|\d,? ", family.text)
    assert family.text.endswith(".")
    assert 12 <= len(family.text) <= 160
    assert not re.search(r"[_`|<>\n]|  |\b[A-Z]{3,}\b", family.text.replace("HTTP", ""))
    assert not re.search(r"\b(num|nr|cnt|avg|msg|req|sec|ms|etc|misc|tbd|todo)\b", family.text, re.IGNORECASE)


@every_family
def test_its_row_says_the_same_and_what_to_do(family: Family) -> None:
    _, kind, labels, _, text, advice = (*row(family), "")[:6]
    assert (kind, text) == (family.kind, family.text)
    assert tuple(re.findall(r"`(\w+)`", labels)) == family.labels
    assert bool(advice) != (family.name in WITHOUT_ADVICE), "say when it is odd, and what to do"


WITHOUT_ADVICE = {
    "whisperer_shard_commit_records_total",
    "whisperer_shard_snapshots_total",
    "whisperer_shard_dedup_bytes",
    "whisperer_shard_letters_taken_total",
}
"""Metrics of which no figure is odd in itself. Not to grow."""


@every_family
def test_every_label_has_a_bound_on_the_page(family: Family) -> None:
    table = DOCUMENT.read_text().partition("## Labels")[2].partition("## ")[0]
    for label in family.labels:
        assert re.fullmatch(r"[a-z]+", label)
        [bound] = re.findall(rf"^\| (?:`\w+`, )?`{label}`(?:, `\w+`)? \| .* \| (.+) \|$", table, re.MULTILINE)
        assert bound


@every_family
def test_somebody_counts_it(family: Family) -> None:
    found = list(family.samples(everything()))
    assert found, "nothing in status() or measures() has it"
    for labels, value in found:
        assert len(labels) == len(family.labels)
        assert all(isinstance(label, str) for label in labels)
        if family.kind == HISTOGRAM:
            assert isinstance(value, HistogramState)
            assert len(value.counts) == len(value.bounds) + 1
        else:
            assert isinstance(value, int | float)
            assert math.isfinite(value)
            assert value >= 0 or family.kind == GAUGE
    assert len({tuple(labels) for labels, _ in found}) == len(found), "two samples with the same labels"


@every_family
def test_an_installation_in_which_nothing_has_happened_breaks_nothing(family: Family) -> None:
    away = ShardAway("shard-0", "recovering", "it died")
    nothing = Numbers([], [away], LearnerAway("away", "a test has none"), 0, 0, [])
    assert len(list(family.samples(nothing))) <= 1


@every_family
def test_tenants_cannot_multiply_its_series(family: Family) -> None:
    one = tenant(
        "tn", refused={"capped": 1}, events_dropped={"user_erased": 1}, names={"event": 1}, bytes={"columns": 1}
    )
    many = [
        (f"t{n}" if n < MAX_TENANTS else OTHERS, msgspec.structs.replace(one, id=f"tn_{n}"))
        for n in range(3 * MAX_TENANTS)
    ]
    report = measures().report()
    counted = {f"tn_{n}": {"invalid_event": 1} for n in range(5 * MAX_TENANTS)}
    report = msgspec.structs.replace(report, rejected=counted, notices=counted)
    models = {f"tn_{n}": ScoreModelState("churn@1", "0" * 64, "") for n in range(5 * MAX_TENANTS)}
    one_shard = msgspec.structs.replace(shard("shard-0"), scoring=ScoringState(models=models))
    told = [doing(*(f"tn_{n}" for n in range(5 * MAX_TENANTS)))]
    document = everything(tenants=many, replicas=[report], shards=[one_shard], deliveries=told)
    found = list(family.samples(document))
    n_tenants = len({labels[family.labels.index("tenant")] for labels, _ in found}) if "tenant" in family.labels else 0
    assert n_tenants <= MAX_TENANTS + 2
    assert len(found) <= 5 * (MAX_TENANTS + 2)


def test_a_label_cannot_leave_its_quotes() -> None:
    hostile = 'x"} 1\nwhisperer_users{tenant="y'
    found = samples(exposition(status(tenants={hostile: tenant("tn_1")}), [measures().report()]))
    assert ("whisperer_users", hostile) in found
    assert ("whisperer_users", "y") not in found


def test_every_counter_of_a_tenant_is_shown_by_its_status() -> None:
    """Counters with a dot are shown by their reason (`dropped.`, `refused_traits.`)."""
    counted = {
        name
        for path in (ROOT / "whisperer" / "shard").rglob("*.py")
        for name in re.findall(r'\bcounters\["(\w+)"\]', path.read_text())
    }
    assert counted == set(COUNTED)


def test_every_level_of_a_replica_is_both_set_and_read() -> None:
    gateway = ROOT / "serve_apps" / "gateway"
    given = (gateway / "app.py").read_text().partition("measures.levels = {")[2].partition("}")[0]
    read = re.findall(r'_level\("(\w+)"\)', (gateway / "metrics" / "families.py").read_text())
    assert set(re.findall(r'"(\w+)":', given)) == set(read)
