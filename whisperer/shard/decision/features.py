"""Compute the features logged with a decision: the values of :data:`whisperer.decisions.context.NAMES` at a moment.

Decides where each comes from: the user's columns, what passed between us and the user, or the wall clock. Guarantees:
every name has exactly one definition, and training and the simulator use the same ones. Leaves to others: how a policy
uses the values (:mod:`whisperer.decisions.context`).
"""

from __future__ import annotations

from operator import itemgetter

import numpy as np

from whisperer.decisions import context
from whisperer.journeys import contact
from whisperer.journeys.contact import CONTACT, ContactSpec
from whisperer.profiles import features
from whisperer.profiles.features import FEATURES, FeatureSpec
from whisperer.shard.state.tenant import Tenant

SPECS: dict[str, FeatureSpec | ContactSpec] = {
    name: FEATURES[name] if name in FEATURES else CONTACT[name] for name in context.NAMES
}
"""The definition of every name, in order."""

FEATURE_HASH = features.feature_hash(SPECS.values())
"""Hash that an artifact trained on logged features records."""

_PROFILE = tuple(name for name in SPECS if name in FEATURES)
_AS_COMPUTED = (*_PROFILE, *(spec.name for spec in (*contact.OVERALL, *contact.CLOCK, *contact.BY_CHANNEL)))
_in_order = itemgetter(*map(_AS_COMPUTED.index, SPECS))
"""Values as computed, by where they come from -> in the order of NAMES, which is that of their coming."""


def raw_features(tenant: Tenant, rows: list[int], now: int) -> list[list[float]]:
    """Return the values of each of ``rows`` as of ``now`` (ms UTC), in the order of NAMES; NaN where absent."""
    people = tenant.people
    at = np.array(rows, np.int64)
    profiles = features.matrix(_PROFILE, people.table, at, now).tolist()
    zones, engagements = people.table["zone"][at].tolist(), tenant.loop.engagements
    clocks = {zone: contact.local_time(now, people.zones.texts[zone]) for zone in set(zones)}
    found = []
    for row, zone, profile in zip(rows, zones, profiles, strict=True):
        overall, by_channel = contact.counts(*contact.of_engagement(engagements.get(row)), now)
        found.append(list(_in_order((*profile, *overall, *clocks[zone], *by_channel))))
    return found
