"""The features logged with a decision: the values of :data:`whisperer.decisions.context.NAMES` as of a moment.

Decides where each comes from: the user's columns, what passed between us and the user, or the wall clock. Guarantees:
every name has exactly one definition, and the same definitions serve training and the simulator. Leaves to others: what
a policy makes of the values (:mod:`whisperer.decisions.context`).
"""

from __future__ import annotations

import numpy as np

from whisperer.decisions import context
from whisperer.journeys import contact
from whisperer.journeys.contact import CONTACT, ContactSpec
from whisperer.profiles import features
from whisperer.profiles.features import FEATURES, FeatureSpec
from whisperer.shard.tenant import Tenant

SPECS: dict[str, FeatureSpec | ContactSpec] = {
    name: FEATURES[name] if name in FEATURES else CONTACT[name] for name in context.NAMES
}
"""The definition of every name, in order."""

FEATURE_HASH = features.feature_hash(SPECS.values())
"""What an artifact trained on logged features records."""

_PROFILE = tuple(name for name in SPECS if name in FEATURES)
_N_FIRST = 9
"""Features of the profile that come before those of contact; the others were added later."""

_contact_names = (spec.name for spec in (*contact.OVERALL, *contact.CLOCK))
_channel_names = (spec.name for spec in contact.BY_CHANNEL)
assert (*_PROFILE[:_N_FIRST], *_contact_names, *_PROFILE[_N_FIRST:], *_channel_names) == context.NAMES


def raw_features(tenant: Tenant, rows: list[int], now: int) -> list[list[float]]:
    """A list in the order of NAMES for each of ``rows``, NaN where absent."""
    people = tenant.people
    at = np.array(rows, np.int64)
    profiles = features.matrix(_PROFILE, people.table, at, now).tolist()
    zones, engagements = people.table["zone"][at].tolist(), tenant.loop.engagements
    clocks = {zone: contact.local_time(now, people.zones.texts[zone]) for zone in set(zones)}
    found = []
    for row, zone, profile in zip(rows, zones, profiles, strict=True):
        overall, by_channel = contact.counts(*contact.of_engagement(engagements.get(row)), now)
        found.append([*profile[:_N_FIRST], *overall, *clocks[zone], *profile[_N_FIRST:], *by_channel])
    return found
