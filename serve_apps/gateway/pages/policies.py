"""Renders a tenant's policies: which version decides for what share of users, on what evidence, and where it came
from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from cluster.control_plane.documents import PolicyEventDocument, StepNeeds, VersionDocument
from serve_apps.gateway.pages import formats
from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.pages.story import shown
from serve_apps.gateway.services.policies import PolicyRecord
from whisperer.models.guardrails import VersionTally

FIGURES_SHOWN = 40
MAX_DEPTH = 8
VERSIONS_SHOWN = 10


def render_policies(policies: Sequence[PolicyRecord], *, now: int, site: Site) -> str:
    """Render the page at ``/policies``."""
    return render("policies.html", site=site, now=now, policies=[_policy(policy) for policy in policies])


@dataclass(frozen=True, slots=True)
class Part:
    """A version that decides, or is tried; ``width`` is per cent of users."""

    stage: str
    version: str
    share: str
    width: float
    counts: str


@dataclass(frozen=True, slots=True)
class ShownEvidence:
    """The evidence of one step: the gate's verdict, or the guardrail's."""

    version: str
    at: str | None
    promoted: bool
    reasons: list[str]
    figures: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class ShownVersion:
    """A version's lineage."""

    version: int
    status: str
    kind: str
    digest: str
    rows: str
    data: str
    code: str
    features: int
    metrics: str
    registered_at: str | None


@dataclass(frozen=True, slots=True)
class ShownPolicy:
    """A policy as the page shows it; ``history`` with the names of its versions, (event, version, live)."""

    name: str
    since: str | None
    parts: list[Part]
    needs: StepNeeds | None
    evidence: ShownEvidence | None
    versions: list[ShownVersion]
    history: list[tuple[PolicyEventDocument, str, str]]


def _policy(policy: PolicyRecord) -> ShownPolicy:
    candidate, share = policy.candidate, policy.share
    parts = [("live", policy.live, 1 - share)]
    if candidate is not None:
        parts.append((str(policy.stage), candidate, share))
    return ShownPolicy(
        policy.name,
        policy.since,
        [
            Part(stage, _version(version), formats.percent(of), of * 100, _counts(policy.tallies.get(str(version))))
            for stage, version, of in parts
        ],
        policy.needs,
        next((_evidence(event, event.evidence) for event in policy.history if event.evidence), None),
        [_lineage(version) for version in policy.versions[:VERSIONS_SHOWN]],
        [(event, _version(event.version), _version(event.live)) for event in policy.history],
    )


def _version(number: int) -> str:
    return f"version {number}" if number else "built in"


def _counts(tally: VersionTally | None) -> str:
    if tally is None:
        return "not counted yet"
    counts = (
        ("decisions", tally.decisions),
        ("unsubscribed", tally.unsubscribed),
        ("failed", tally.failed),
        ("slow", tally.slow),
        ("users", tally.users),
    )
    return ", ".join(f"{formats.count(n)} {name}" for name, n in counts if n)


def _evidence(event: PolicyEventDocument, told: Mapping[str, Any]) -> ShownEvidence:
    breaches = [str(breach.get("reason")) for breach in told.get("breaches", ()) if isinstance(breach, dict)]
    return ShownEvidence(
        _version(event.version),
        event.at,
        event.action == "promoted",
        breaches or [str(reason["sentence"]) for reason in told.get("reasons", ())],
        list(islice(_figures(told.get("figures"), ""), FIGURES_SHOWN)),
    )


def _figures(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield whatever JSON the gate gave, one line per figure, named by its path."""
    if isinstance(value, dict) and name.count(" ") < MAX_DEPTH:
        for key, part in value.items():
            yield from _figures(part, f"{name} {key}".strip())
    elif value is not None:
        yield name, formats.number(value) if _is_number(value) else shown(value)


def _lineage(version: VersionDocument) -> ShownVersion:
    data = version.data
    return ShownVersion(
        version.version,
        version.status,
        version.kind,
        version.digest[:12],
        formats.count(data.rows),
        f"{str(data.first)[:10]} to {str(data.last)[:10]}",
        version.code_version,
        len(version.features),
        ", ".join(f"{name} {formats.number(value)}" for name, value in list(version.metrics.items())[:6]),
        version.registered_at,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15
