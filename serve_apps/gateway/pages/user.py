"""Renders one user: who they are, what they did, and each time they were considered, with the reason for the
outcome."""

from __future__ import annotations

import msgspec

from serve_apps.gateway.pages import story
from serve_apps.gateway.pages.decision import written
from serve_apps.gateway.pages.formats import moment
from serve_apps.gateway.pages.record import record
from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.services.inbox_message import InboxMessage
from serve_apps.gateway.services.profile import UserProfile
from whisperer.vocabulary.units import DAY_MS

MOST_ROWS = 100


def sends_used(user: UserProfile, now: int) -> list[tuple[str, int, int, int]]:
    """Return (channel, messages in 1 day, in 7 days, in 30 days), which caps count."""
    found: dict[str, list[int]] = {}
    for sent in user.sends:
        at = moment(sent.at)
        if at is not None:
            counts = found.setdefault(sent.channel, [0, 0, 0])
            for i, days in enumerate((1, 7, 30)):
                counts[i] += at > now - days * DAY_MS
    return [(channel, *counts) for channel, counts in sorted(found.items())]  # type: ignore[misc]


def render_user(user: UserProfile, inbox: list[InboxMessage], *, now: int, site: Site) -> str:
    """Render the page at ``/users/{user_id}``."""
    timeline, candidacies = user.timeline[: story.MOST_SHOWN], user.candidacies[: story.MOST_SHOWN]
    n_cut = len(user.timeline) - len(timeline) + len(user.candidacies) - len(candidacies)
    moments, n_older = story.woven(timeline, [record(candidacy) for candidacy in candidacies])
    traits = sorted(user.traits.items())[:MOST_ROWS]
    return render(
        "user.html",
        site=site,
        now=now,
        user=user,
        name=user.user_id if user.user_id is not None else next(iter(user.anonymous_ids), ""),
        known=user.user_id is not None,
        traits=[(name, story.shown(msgspec.json.decode(trait))) for name, trait in traits],
        features=[(name, written(value)) for name, value in user.features.items()][:MOST_ROWS],
        event_counts=sorted(user.event_counts.items(), key=lambda item: (-item[1], item[0]))[:MOST_ROWS],
        segments=user.segments,
        used=sends_used(user, now),
        inbox=inbox[:MOST_ROWS],
        moments=moments,
        n_older=n_older + n_cut,
    )
