"""Renders one user: who they are, what they did, and each time they were considered, with the reason for the
outcome."""

from __future__ import annotations

from typing import Any

from serve_apps.gateway.pages import story
from serve_apps.gateway.pages.decision import written
from serve_apps.gateway.pages.documents import UserView
from serve_apps.gateway.pages.formats import moment
from serve_apps.gateway.pages.record import plain, record
from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site
from whisperer.vocabulary.units import DAY_MS

MOST_ROWS = 100


def sends_used(user: UserView, now: int) -> list[tuple[str, int, int, int]]:
    """Return (channel, messages in 1 day, in 7 days, in 30 days), which caps count."""
    found: dict[str, list[int]] = {}
    for sent in user["sends"]:
        at = moment(sent["at"])
        if at is not None:
            counts = found.setdefault(sent["channel"], [0, 0, 0])
            for i, days in enumerate((1, 7, 30)):
                counts[i] += at > now - days * DAY_MS
    return [(channel, *counts) for channel, counts in sorted(found.items())]  # type: ignore[misc]


def render_user(user: UserView, *, now: int, site: Site) -> str:
    """Render the page at ``/users/{user_id}``."""
    timeline, candidacies = user["timeline"][: story.MOST_SHOWN], user["candidacies"][: story.MOST_SHOWN]
    n_cut = len(user["timeline"]) - len(timeline) + len(user["candidacies"]) - len(candidacies)
    document = plain({**user, "timeline": timeline, "candidacies": candidacies})
    document["candidacies"] = [record(decision) for decision in document["candidacies"]]
    moments, n_older = story.woven(document)
    known = document["user_id"]
    segments = document["segments"]
    return render(
        "user.html",
        site=site,
        now=now,
        user=document,
        name=known if known is not None else next(iter(document["anonymous_ids"]), ""),
        known=known is not None,
        traits=[(name, story.shown(value)) for name, value in sorted(document["traits"].items())][:MOST_ROWS],
        features=[(name, _feature(value)) for name, value in document["features"].items()][:MOST_ROWS],
        event_counts=sorted(document["event_counts"].items(), key=lambda item: (-item[1], item[0]))[:MOST_ROWS],
        segments=[s if isinstance(s, str) else story.shown(s) for s in segments],
        used=sends_used(document, now),
        moments=moments,
        n_older=n_older + n_cut,
    )


def _feature(value: Any) -> str:
    return written(value) if value is None or isinstance(value, (int, float)) else story.shown(value)
