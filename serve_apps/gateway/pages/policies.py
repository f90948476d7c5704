"""Renders a tenant's policies: which version decides for what share of users, on what evidence, and where it came
from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from serve_apps.gateway.pages import formats
from serve_apps.gateway.pages.documents import PolicyPage
from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.pages.story import shown

FIGURES_SHOWN = 40
MAX_DEPTH = 8
VERSIONS_SHOWN = 10
_COUNTS = ("decisions", "unsubscribed", "failed", "slow", "users")


def render_policies(policies: Sequence[PolicyPage], *, now: int, site: Site) -> str:
    """Render the page at ``/policies``."""
    return render("policies.html", site=site, now=now, policies=[_policy(policy) for policy in policies])


def _policy(policy: PolicyPage) -> dict[str, Any]:
    candidate, share = policy["candidate"], policy["share"]
    parts = [("live", policy["live"], 1 - share)]
    if candidate is not None:
        parts.append((str(policy["stage"]), candidate, share))
    return {
        "name": policy["name"],
        "since": policy["since"],
        "parts": [
            {
                "stage": stage,
                "version": _version(version),
                "share": formats.percent(of),
                "width": of * 100,
                "counts": _counts(policy["tallies"].get(str(version))),
            }
            for stage, version, of in parts
        ],
        "needs": policy["needs"],
        "evidence": next((_evidence(event) for event in policy["history"] if event["evidence"]), None),
        "versions": [_lineage(version) for version in policy["versions"][:VERSIONS_SHOWN]],
        "history": [
            event | {"version": _version(event["version"]), "live": _version(event["live"])}
            for event in policy["history"]
        ],
    }


def _version(number: int) -> str:
    return f"version {number}" if number else "built in"


def _counts(tally: Mapping[str, int] | None) -> str:
    if not tally:
        return "not counted yet"
    return ", ".join(f"{formats.count(tally[name])} {name}" for name in _COUNTS if tally.get(name))


def _evidence(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the evidence of the newest step that had any: the gate's verdict, or the guardrail's."""
    told: Mapping[str, Any] = event["evidence"]
    breaches = [str(breach.get("reason")) for breach in told.get("breaches", ()) if isinstance(breach, dict)]
    return {
        "version": _version(event["version"]),
        "at": event["at"],
        "promoted": event["action"] == "promoted",
        "reasons": breaches or [str(reason["sentence"]) for reason in told.get("reasons", ())],
        "figures": list(islice(_figures(told.get("figures"), ""), FIGURES_SHOWN)),
    }


def _figures(value: Any, name: str) -> Iterator[tuple[str, str]]:
    """Yield whatever JSON the gate gave, one line per figure, named by its path."""
    if isinstance(value, dict) and name.count(" ") < MAX_DEPTH:
        for key, part in value.items():
            yield from _figures(part, f"{name} {key}".strip())
    elif value is not None:
        yield name, formats.number(value) if _is_number(value) else shown(value)


def _lineage(version: Mapping[str, Any]) -> dict[str, Any]:
    data, metrics = version["data"], version["metrics"]
    return {
        "version": version["version"],
        "status": version["status"],
        "kind": version["kind"],
        "digest": version["digest"][:12],
        "rows": formats.count(data["rows"]),
        "data": f"{str(data['from'])[:10]} to {str(data['to'])[:10]}",
        "code": version["code_version"],
        "features": len(version["features"]),
        "metrics": ", ".join(f"{name} {formats.number(value)}" for name, value in list(metrics.items())[:6]),
        "registered_at": version["registered_at"],
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15
