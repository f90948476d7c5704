"""What a simulation is asked. Values only, encodable as JSON: they cross to the process that carries it out."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from whisperer.decisions.decision import NO_SEND, UNIFORM
from whisperer.errors import RequestError
from whisperer.journeys.campaign import Campaign, from_json
from whisperer.shard.records import Experiment, SegmentConfig

LEARNED = "learned"
"""What the learner knows of the campaign now; every arm alike where it knows nothing."""
ARM = "arm:"
"""``arm:<id>``: always that arm where the user may get it, else `no_send`."""
POLICIES = (LEARNED, UNIFORM)
_VERSION = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,62})@([1-9][0-9]{0,9})")
"""``<name>@<version>`` of a registered model: decided as if it were live, by its scores and what the learner knows."""

MAX_DAYS = 92
MOST_EVENTS = 500_000
"""That are replayed; of a longer past, those of a share of the users."""


class Plan(msgspec.Struct, frozen=True):
    """Attributes
    ----------
    definition : as a shard would get it (:func:`whisperer.journeys.campaign.to_json`), templates pinned
    policy : one of POLICIES, ARM with the id of an arm, or a registered model's version (:func:`model_of`)
    since, until : ms UTC; before ``since`` history only makes users what they were
    budget : most that arms may cost in the simulated days, in the goal's unit; asked by the checklist, while the
        campaign's own is kept to
    detectable_lift : difference a user, in the goal's unit, that the holdout should be able to show; None: a tenth of
        what users do anyway
    largest_audience : share of all users beyond which the checklist asks whether that many were meant
    templates : ``name@version`` -> body
    providers : channel -> provider
    others : definitions of campaigns whose decisions may tell what this one is worth, its own version in force first
    """

    tenant: str
    name: str
    version: int
    definition: str
    since: int
    until: int
    policy: str = LEARNED
    segments: list[SegmentConfig] = []
    experiment: Experiment = Experiment()
    budget: float | None = None
    detectable_lift: float | None = None
    largest_audience: float = 0.5
    templates: dict[str, dict[str, Any]] = {}
    providers: dict[str, str] = {}
    others: list[str] = []

    @property
    def campaign(self) -> Campaign:
        return from_json(self.definition)


def check_policy(policy: str, campaign: Campaign) -> None:
    """Raises RequestError for the name of no policy."""
    arms = [NO_SEND, *(arm.id for arm in campaign.arms)]
    if (
        model_of(policy) is None
        and policy not in POLICIES
        and (not policy.startswith(ARM) or policy.removeprefix(ARM) not in arms)
    ):
        known = ", ".join([*POLICIES, *(ARM + arm for arm in arms), "MODEL@VERSION"])
        raise RequestError(f"there is no policy {policy[:80]!r}; write one of {known}")


def model_of(policy: str) -> tuple[str, int] | None:
    """Name and version of the model that a policy names.

    >>> model_of("welcome@3"), model_of("uniform")
    (('welcome', 3), None)
    """
    found = _VERSION.fullmatch(policy)
    return None if found is None else (found[1], int(found[2]))


def template_place(name: str, version: int) -> str:
    return f"{name}@{version}"
