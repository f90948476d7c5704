"""Decide which arms may reach one user now, and why the others may not.

Reasons have one order, the most lasting first: `no_address`, `suppressed`, `no_consent`, `capped`, `quiet_hours`. An
arm is refused for the first that applies to it. A candidate with no arm left is refused for the reason that is last in
the order, that of the arm closest to being chosen: a user without a push token who had an e-mail this morning is
`capped`, not unreachable.

A transactional campaign skips consent and nothing else: suppression always holds, and so do the caps and quiet hours
that the campaign itself states.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from whisperer.eligibility.addresses import address_of
from whisperer.eligibility.caps import is_capped
from whisperer.eligibility.consent import allows
from whisperer.eligibility.quiet import is_quiet
from whisperer.eligibility.rules import Cap, QuietHours
from whisperer.eligibility.standing import Standing
from whisperer.eligibility.suppression import is_suppressed
from whisperer.ids import UserKey
from whisperer.vocabulary.reasons import Reason

ORDER = (Reason.NO_ADDRESS, Reason.SUPPRESSED, Reason.NO_CONSENT, Reason.CAPPED, Reason.QUIET_HOURS)


def eligible_arms(
    arms: Sequence[tuple[str, str]],
    purpose: str,
    caps: Sequence[Cap],
    quiet_hours: QuietHours | None,
    campaign: str,
    standing: Standing,
    traits: Mapping[str, bytes],
    user_key: UserKey,
    zone: str,
    now: int,
    consent_default: bool,
    *,
    is_bared: bool = True,
) -> tuple[list[str], dict[str, Reason]]:
    """Return the arms that may be chosen, and the reason against each other one, both in the order of ``arms``.

    Parameters
    ----------
    arms : (arm id, channel); without `no_send`, which is always eligible
    traits : name -> JSON as the client wrote it, removed ones left out
    zone : IANA name of the user's zone, "" for UTC
    now : ms UTC
    consent_default : whether a user who never stated anything may be reached
    is_bared : as in :func:`whisperer.delivery.addresses.usable_address`
    """
    by_channel: dict[str, Reason | None] = {}
    eligible: list[str] = []
    refused: dict[str, Reason] = {}
    quiet: bool | None = None
    for arm, channel in arms:
        if channel not in by_channel:
            reason = _unreachable(channel, purpose, standing, traits, user_key, consent_default, is_bared=is_bared)
            if reason is None and is_capped(standing.sends, caps, campaign, channel, now, zone):
                reason = Reason.CAPPED
            if reason is None and quiet_hours is not None:
                quiet = is_quiet(quiet_hours, now, zone) if quiet is None else quiet
                reason = Reason.QUIET_HOURS if quiet else None
            by_channel[channel] = reason
        why_not = by_channel[channel]
        if why_not is None:
            eligible.append(arm)
        else:
            refused[arm] = why_not
    return eligible, refused


def may_dispatch(
    channel: str,
    purpose: str,
    quiet_hours: QuietHours | None,
    standing: Standing,
    traits: Mapping[str, bytes],
    user_key: UserKey,
    zone: str,
    now: int,
    consent_default: bool,
) -> Reason | None:
    """Return why the chosen arm's message must not be sent now, or None.

    Caps are not checked again: the decision reserved its place in them.
    """
    reason = _unreachable(channel, purpose, standing, traits, user_key, consent_default)
    if reason is None and quiet_hours is not None and is_quiet(quiet_hours, now, zone):
        reason = Reason.QUIET_HOURS
    return reason


def overall(refused: Mapping[str, Reason]) -> Reason:
    """Return the one reason to refuse a candidate with no eligible arm; ``refused`` has at least one arm.

    >>> overall({"mail": Reason.CAPPED, "sms": Reason.NO_ADDRESS})
    <Reason.CAPPED: 'capped'>
    """
    return max(refused.values(), key=ORDER.index)


def _unreachable(
    channel: str,
    purpose: str,
    standing: Standing,
    traits: Mapping[str, bytes],
    user_key: UserKey,
    consent_default: bool,
    *,
    is_bared: bool = True,
) -> Reason | None:
    """Return why the channel is closed to the user at any time, or None."""
    address = address_of(traits, channel, user_key, is_bared=is_bared)
    if address is None:
        return Reason.NO_ADDRESS
    if is_suppressed(standing, channel, address):
        return Reason.SUPPRESSED
    return None if allows(standing, channel, purpose, consent_default) else Reason.NO_CONSENT
