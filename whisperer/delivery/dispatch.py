"""What is asked of the delivery application and what it answers.

An attempt has one point of no return: before it nothing can have reached the reader, and a failure is `retry`; after it
the provider may have the message, and a failure is `unknown`. SMTP's is the final dot, a webhook's the request's end.
"""

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
UNKNOWN = "unknown"
"""All of it was handed over and no answer came: the reader may have it. `repeatable` says whether asking again is safe;
where it is not, the message is taken as sent."""
WAITING = "waiting"
"""No connection was free; nothing was begun. Never journaled and no attempt: ask again, after another last look."""


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
    """What became of one attempt. ``status`` is one of the constants above.

    ``repeatable``: of an unknown one, whether the provider takes the send key, so that a repeat is no second message.
    """

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
    repeatable: bool = False
