"""Decide whether a user has agreed to be reached on a channel for a purpose.

A statement is about one channel and one purpose; ``*`` stands for all of them. For one channel and purpose the last
statement holds; on a tie, a withdrawal does. When several statements cover the same message, a narrower one overrides a
broader one, with one exception: **a grant never overrides a withdrawal that came after it**. So "no e-mails at all,
except the newsletter" works when stated in this order or at once, and someone who unsubscribes from everything is not
reached because of an earlier agreement. ``email/*`` and ``*/newsletter`` are equally narrow: a withdrawal in either
holds.

Transactional messages need no consent; suppression stops them too (:mod:`whisperer.eligibility.suppression`). What
counts as consent by law is up to the tenant, which sets a default for users who never stated anything.
"""

from __future__ import annotations

from whisperer.eligibility.rules import TRANSACTIONAL
from whisperer.eligibility.standing import Consent, Standing

ALL = "*"


def state(standing: Standing, channel: str, purpose: str, consent: Consent) -> bool:
    """Record a statement; return False if the recorded one holds instead. The order of arrival makes no difference."""
    key = f"{channel}/{purpose}"
    held = standing.consent.get(key)
    stands = consent if held is None else later(held, consent)
    if stands is held:
        return False
    standing.consent[key] = stands
    return True


def later(a: Consent, b: Consent) -> Consent:
    """Return which of two statements about the same channel and purpose holds; ``a`` if they are equal."""
    return b if (b.at, not b.granted, b.source) > (a.at, not a.granted, a.source) else a


def allows(standing: Standing, channel: str, purpose: str, default: bool) -> bool:
    """Return whether consent permits a message; ``default`` is the answer if no statement of the user covers it.

    >>> nothing = Standing()
    >>> allows(nothing, "email", "marketing", default=False), allows(nothing, "email", "transactional", default=False)
    (False, True)
    """
    if purpose == TRANSACTIONAL:
        return True
    stated = standing.consent
    if not stated:
        return default
    halves = [s for key in (f"{channel}/{ALL}", f"{ALL}/{purpose}") if (s := stated.get(key)) is not None]
    halves.sort(key=lambda s: not s.granted)
    allowed, withdrawn_at = default, None
    for statement in (stated.get(f"{ALL}/{ALL}"), *halves, stated.get(f"{channel}/{purpose}")):
        if statement is None:
            continue
        if not statement.granted:
            allowed = False
            withdrawn_at = statement.at if withdrawn_at is None else max(withdrawn_at, statement.at)
        elif withdrawn_at is None or statement.at >= withdrawn_at:
            allowed = True
    return allowed
