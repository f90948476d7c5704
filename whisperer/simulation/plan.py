"""Define what a simulation is asked. Values only, encodable as JSON: they are sent to the process that runs it."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from whisperer.decisions.decision import NO_SEND
from whisperer.errors import RequestError
from whisperer.ids import TenantId
from whisperer.journeys.campaign import Campaign, from_json
from whisperer.shard.records import Experiment, SegmentConfig
from whisperer.vocabulary.groups import Group

LEARNED = "learned"
"""Decide by what the learner knows of the campaign now; if that is nothing, all arms count the same."""
ARM = "arm:"
"""``arm:<id>``: always that arm if the user may get it, otherwise `no_send`."""
POLICIES = (LEARNED, Group.UNIFORM)
_VERSION = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]{0,62})@([1-9][0-9]{0,9})")
"""``<name>@<version>`` of a registered model: decide as if it were live, by its scores and what the learner knows."""

MAX_DAYS = 92
MOST_EVENTS = 500_000
"""The most events that are replayed; of a longer past, those of a share of the users."""


class SimulationPlan(msgspec.Struct, frozen=True):
    """One question to a simulation.

    Attributes
    ----------
    definition : as a shard would receive it (:func:`whisperer.journeys.campaign.to_json`), templates pinned
    policy : one of POLICIES, ARM with the id of an arm, or a registered model's version (:func:`model_of`)
    since, until : ms UTC; history before ``since`` only builds up users' state
    budget : the most that arms may cost in the simulated days, in the goal's unit; only the checklist looks at it,
        while the campaign's own budget is enforced
    detectable_lift : difference per user, in the goal's unit, that the holdout should be able to show; None for a
        tenth of what users do anyway
    largest_audience : share of all users above which the checklist asks whether that many are meant
    templates : ``name@version`` -> body
    providers : channel -> provider
    others : definitions of campaigns whose decisions may show what this one is worth, its own current version first
    """

    tenant: TenantId
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
        """The campaign, parsed from its definition."""
        return from_json(self.definition)


def check_policy(policy: str, campaign: Campaign) -> None:
    """Check that a policy exists. Raises RequestError."""
    arms = [NO_SEND, *(arm.id for arm in campaign.arms)]
    if (
        model_of(policy) is None
        and policy not in POLICIES
        and (not policy.startswith(ARM) or policy.removeprefix(ARM) not in arms)
    ):
        known = ", ".join([*POLICIES, *(ARM + arm for arm in arms), "MODEL@VERSION"])
        raise RequestError(f"there is no policy {policy[:80]!r}; write one of {known}")


def model_of(policy: str) -> tuple[str, int] | None:
    """Return the name and version of the model that a policy names, None if it names none.

    >>> model_of("welcome@3"), model_of("uniform")
    (('welcome', 3), None)
    """
    found = _VERSION.fullmatch(policy)
    return None if found is None else (found[1], int(found[2]))


def template_place(name: str, version: int) -> str:
    """Return the key of a template's version in :attr:`Plan.templates`."""
    return f"{name}@{version}"
