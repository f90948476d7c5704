"""Renders one decision's whole audit: told in sentences at the top, with every logged value below."""

from __future__ import annotations

from dataclasses import dataclass

from serve_apps.gateway.pages import formats, narrative
from serve_apps.gateway.pages.pictures import axis, sentence
from serve_apps.gateway.pages.record import DecisionRecord, record
from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site
from serve_apps.gateway.pages.story import shown
from serve_apps.gateway.services.audit import Audit
from whisperer.decisions.context import NAMES
from whisperer.decisions.decision import NO_SEND
from whisperer.ids import ANONYMOUS_PREFIX, KNOWN_PREFIX
from whisperer.vocabulary.reasons import Reason

_OF_ONE_ARM: dict[str, str] = {
    Reason.NO_CONSENT: "the user has not agreed to its channel, or has withdrawn",
    Reason.SUPPRESSED: "the user's address on its channel is suppressed",
    Reason.NO_ADDRESS: "the profile holds no address for its channel",
}
"""Replaces the sentence on a whole candidate, which would say too much about one arm."""


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One eligible arm. ``low``, ``mean_at`` and ``high`` place mean and spread on an axis shared by all arms."""

    arm: str
    chosen: bool
    chance: str
    width: float
    mean: str
    spread: str
    low: float
    mean_at: float
    high: float


def arm_rows(decision: DecisionRecord) -> tuple[list[ArmRow], float | None]:
    """Return the arms that had a chance, in order, and where zero is on the axis of means (None if no model was
    consulted).

    A decision refused before anything was drawn gave no arm a chance, not even ``no_send``.
    """
    if not decision.propensities:
        return [], None
    means, spreads = decision.means, decision.spreads
    looked = any(spreads) or any(means)
    ends = [mean + side * spread for mean, spread in zip(means, spreads, strict=False) for side in (-1, 1)]
    place = axis([0.0, *ends])
    rows = []
    for i, (arm, p) in enumerate(zip(decision.arms, decision.propensities, strict=False)):
        mean, spread = (means[i], spreads[i]) if looked and i < len(means) else (0.0, 0.0)
        rows.append(
            ArmRow(
                arm,
                arm == decision.arm,
                formats.percent(p),
                round(100 * p, 2),
                formats.number(mean),
                formats.number(spread),
                place(mean - spread),
                place(mean),
                place(mean + spread),
            )
        )
    return rows, place(0.0) if looked else None


def unchosen(decision: DecisionRecord) -> str:
    """Explain why there is no table of chances."""
    if decision.status != "refused":
        return "Awaited."
    left = [arm for arm in decision.arms if arm != NO_SEND]
    if not left:
        return "No arm was left, so there was nothing to choose from."
    return f"It ended before one was chosen. Left were {', '.join(formats.clip(arm, 80) for arm in left[:20])}."


def features(decision: DecisionRecord) -> list[tuple[str, str]]:
    """Return (name, value) in the model's order, with names it does not know at the end."""
    seen = decision.features
    order = [name for name in NAMES if name in seen] + [name for name in seen if name not in NAMES]
    return [(name, written(seen[name])) for name in order]


def written(value: float | None) -> str:
    return formats.DASH if value is None or value != value else formats.number(value)


def render_decision(decision: Audit, *, now: int, site: Site) -> str:
    """Render the page at ``/decisions/{id}``."""
    found = record(decision)
    user = user_of(found)
    rows, zero = arm_rows(found)
    return render(
        "decision.html",
        site=site,
        now=now,
        decision=found,
        user=user,
        sentences=narrative.told(found, "A user who was erased since" if user is None else formats.clip(user, 60)),
        cause=narrative.cause(found.trigger),
        arms=rows,
        zero=zero,
        unchosen=unchosen(found),
        refused=[
            (arm, reason, _OF_ONE_ARM.get(reason) or sentence(reason)) for arm, reason in found.refused_arms.items()
        ],
        features=features(found),
        offer=None if found.offer is None else shown(found.offer),
    )


def user_of(decision: DecisionRecord) -> str | None:
    """Return the user's own id; None once they were erased, when only a pseudonym is left."""
    key = decision.user_key
    return formats.user(key) if key.startswith((KNOWN_PREFIX, ANONYMOUS_PREFIX)) else None
