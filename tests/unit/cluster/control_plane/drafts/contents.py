"""A few contents of each kind, and how each is published without a draft."""

from __future__ import annotations

from typing import Any

from cluster.control_plane import ControlPlane
from cluster.control_plane.drafts import Kind

PUBLISHED = (Kind.CAMPAIGN, Kind.TEMPLATE, Kind.SEGMENT)


def furnish(plane: ControlPlane) -> None:
    """Make two tenants, and a template that campaigns pin."""
    plane.create_tenant("acme")
    plane.create_tenant("globex")
    plane.put_template("acme", "pinned", {"channel": "sms", "locales": {"en": {"text": "Hello"}}})


def content(kind: Kind, n: int) -> dict[str, Any]:
    """The n-th content of a kind; another one for each n."""
    match kind:
        case Kind.CAMPAIGN:
            arm = {"id": "hello", "channel": "sms", "template": "pinned"}
            return {"trigger": {"event": f"E{n}"}, "goal": {"event": "Paid", "window": "1h"}, "arms": [arm]}
        case Kind.TEMPLATE:
            return {"channel": "sms", "locales": {"en": {"text": f"Text {n}"}}}
        case _:
            return {"predicate": {"event": f"E{n}"}}


def publish_directly(plane: ControlPlane, kind: Kind, name: str, wanted: dict[str, Any]) -> None:
    match kind:
        case Kind.CAMPAIGN:
            plane.put_campaign("acme", name, wanted, publish=True)
        case Kind.TEMPLATE:
            plane.put_template("acme", name, wanted)
        case _:
            stored = {"event": wanted["predicate"]["event"], "op": "gte", "count": 1}
            plane.publish_segment("acme", name, plane_predicate(stored))


def plane_predicate(predicate: dict[str, Any]) -> dict[str, Any]:
    from whisperer.segments import parse_predicate, to_json

    return to_json(parse_predicate(predicate))


def number(kind: Kind, shown: dict[str, Any]) -> int:
    """Which content this is, given what is stored of it."""
    match kind:
        case Kind.CAMPAIGN:
            return int(shown["trigger"]["event"][1:])
        case Kind.TEMPLATE:
            return int(shown["locales"]["en"]["text"][5:])
        case _:
            return int(shown["predicate"]["event"][1:])


def live_content(plane: ControlPlane, kind: Kind, name: str) -> int | None:
    """Which content users get now."""
    found = plane.history("acme", kind, name, limit=1)
    if not found:
        return None
    return version_content(plane, kind, name, found[0].version)


def version_content(plane: ControlPlane, kind: Kind, name: str, version: int) -> int:
    """Which content a version has."""
    match kind:
        case Kind.CAMPAIGN:
            return int(plane.get_campaign("acme", name, version).campaign.trigger.event[1:])  # type: ignore[union-attr]
        case Kind.TEMPLATE:
            return number(kind, plane.get_template("acme", name, version).body)
        case _:
            rows = plane.list_segments("acme", all_versions=True)
            return next(
                number(kind, {"predicate": r.predicate}) for r in rows if (r.name, r.version) == (name, version)
            )
