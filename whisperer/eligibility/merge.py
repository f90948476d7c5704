"""Merge the standings of two users who turn out to be one.

``merge`` is commutative, associative and idempotent over what :mod:`.consent`, :mod:`.suppression`, :mod:`.caps` and
:mod:`.groups` make, so a merge that is delivered twice or in another order ends in the same standing. It makes nobody
reachable in a way that either had stopped: withdrawals, suppressions and sent messages of both count for the result.
"""

from __future__ import annotations

from whisperer.eligibility.caps import in_order
from whisperer.eligibility.consent import later
from whisperer.eligibility.groups import merged
from whisperer.eligibility.standing import Standing, Suppression
from whisperer.eligibility.suppression import add


def merge(a: Standing, b: Standing) -> Standing:
    """Return a new standing; ``a`` and ``b`` stay as they are."""
    consent = dict(a.consent)
    for key, statement in b.consent.items():
        held = consent.get(key)
        consent[key] = statement if held is None else later(held, statement)
    suppressed: dict[str, list[Suppression]] = {}
    for side in (a, b):
        for channel, stops in side.suppressed.items():
            for stop in stops:
                add(suppressed, channel, stop)
    return Standing(
        consent=dict(sorted(consent.items())),
        suppressed=dict(sorted(suppressed.items())),
        sends=in_order([*a.sends, *b.sends]),
        assignment=merged(a.assignment, b.assignment),
    )
