"""List the reasons why a user is not reached: one enum, each value with a sentence for people."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Name why a candidate was refused or its message not sent."""

    NOT_IN_AUDIENCE = "not_in_audience"
    CAMPAIGN_NOT_LIVE = "campaign_not_live"
    DECISION_OPEN = "decision_open"
    NO_CONSENT = "no_consent"
    SUPPRESSED = "suppressed"
    NO_ADDRESS = "no_address"
    CAPPED = "capped"
    QUIET_HOURS = "quiet_hours"
    MISFIRED = "misfired"
    DECISION_EXPIRED = "decision_expired"
    TEMPLATE_FAILED = "template_failed"
    VARIABLE_MISSING = "variable_missing"
    COUPONS_EXHAUSTED = "coupons_exhausted"
    PROVIDER_REJECTED = "provider_rejected"
    BOUNCED = "bounced"
    DELIVERY_EXPIRED = "delivery_expired"
    MERGED = "merged"
    ERASED = "erased"
    BUDGET_SPENT = "budget_spent"


SENTENCES: dict[Reason, str] = {
    Reason.NOT_IN_AUDIENCE: "the user is not in the campaign's audience",
    Reason.CAMPAIGN_NOT_LIVE: "the campaign was paused or had ended",
    Reason.DECISION_OPEN: "another decision for the user was still open",
    Reason.NO_CONSENT: "the user has not agreed to hear from us, or has withdrawn, where there is an address",
    Reason.SUPPRESSED: "the addresses that there are, are suppressed",
    Reason.NO_ADDRESS: "the profile holds no address for any of the campaign's channels",
    Reason.CAPPED: "the user has had as many messages as the caps allow",
    Reason.QUIET_HOURS: "it is quiet time where the user is",
    Reason.MISFIRED: "the schedule fired too late",
    Reason.DECISION_EXPIRED: "no decision came within the deadline",
    Reason.TEMPLATE_FAILED: "the template could not be rendered",
    Reason.VARIABLE_MISSING: "the template needs something the profile does not hold",
    Reason.COUPONS_EXHAUSTED: "no code was left in a coupon pool that the template takes one from",
    Reason.PROVIDER_REJECTED: "the provider would not take the message",
    Reason.BOUNCED: "the address does not exist or refuses us",
    Reason.DELIVERY_EXPIRED: "every attempt failed",
    Reason.MERGED: "the user was merged into another while the decision was open",
    Reason.ERASED: "the user was erased while the decision was open",
    Reason.BUDGET_SPENT: "too little was left of what the campaign's budget released",
}
