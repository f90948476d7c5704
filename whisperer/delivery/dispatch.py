"""What is asked of the delivery application and what it answers."""

from __future__ import annotations

import msgspec

ACCEPTED = "accepted"
"""The provider has it."""
RETRY = "retry"
"""Nothing is known to have been sent; try again after `retry_after_s`, or by the schedule if that is None."""
REJECTED = "rejected"
"""The provider will not take this message; trying again would change nothing."""
BOUNCED = "bounced"
"""The address does not exist or refuses us: it is suppressed."""
REFUSED = "refused"
"""We did not hand it over: `detail` is a value of :class:`whisperer.eligibility.refusal.Reason`."""


class Dispatch(msgspec.Struct, array_like=True, frozen=True):
    """Attributes
    ----------
    send_key : idempotency key, the same at every attempt
    provider : name of a row of the tenant's channels, "sink" by default
    attempt : 0 for the first
    headers : of the message
    decided_at : ms UTC of the decision
    """

    send_key: str
    decision_id: str
    tenant: str
    user_key: str
    campaign: str
    channel: str
    address: str
    parts: dict[str, str]
    headers: dict[str, str]
    locale: str
    content_hash: str
    attempt: int
    decided_at: int


class Receipt(msgspec.Struct, array_like=True, frozen=True):
    """What became of one attempt. ``status`` is one of the constants above."""

    send_key: str
    status: str
    provider: str = ""
    provider_id: str = ""
    detail: str = ""
    retry_after_s: float | None = None
    content_hash: str = ""
    locale: str = ""
    address_hash: bytes = b""
    """Of the address that bounced, by the shard actor that knows it."""
