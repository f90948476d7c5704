"""Define what the delivery application is asked and what it answers.

An attempt has one point of no return. Before it, nothing can have reached the reader, and a failure is `retry`; after
it, the provider may have the message, and a failure is `unknown`. It is SMTP's final dot, a webhook request's end.
"""

from __future__ import annotations

import msgspec

from whisperer.ids import DecisionId, SendKey, TenantId, UserKey
from whisperer.vocabulary.named import Named


class Verdict(Named):
    """Name what became of one attempt to send."""

    ACCEPTED = "accepted"
    """The provider accepted the message."""
    RETRY = "retry"
    """Nothing is known to have been sent; try again after `retry_after_s`, or by the schedule if that is None."""
    REJECTED = "rejected"
    """The provider will not take this message; trying again would change nothing."""
    BOUNCED = "bounced"
    """The address does not exist or refuses us: it is suppressed."""
    REFUSED = "refused"
    """We did not pass it to a provider: `detail` is a value of :class:`whisperer.vocabulary.reasons.Reason`."""
    UNKNOWN = "unknown"
    """The provider got the whole message but gave no answer: the reader may have it. `repeatable` says whether a retry
    is safe; if not, the message counts as sent."""
    WAITING = "waiting"
    """Nothing was begun: no connection was free, or, with `retry_after_s`, its turn is then, by an account's rate or a
    breaker, and none of the channel's others goes before. It is not an attempt and never journaled: ask again, after
    another last look."""
    LATER = "later"
    """As `waiting`, but because of its recipient: others of the channel may go before."""


class Looked(msgspec.Struct, array_like=True, frozen=True):
    """Say how far the search for a message whose attempt's outcome is unknown has come (:mod:`.search`).

    Attributes
    ----------
    since : ms UTC when its outcome became unknown
    where : which account may have it, by a hash; it is looked for nowhere else
    n : looks so far
    absent_at : ms UTC of the first of the latest looks in a row that found nothing, -1 for none
    only_finds : that nothing is found says nothing, as it is not certain that the account is the one
    """

    since: int
    where: str
    n: int = 0
    absent_at: int = -1
    only_finds: bool = False


class Dispatch(msgspec.Struct, array_like=True, frozen=True):
    """Ask for one attempt to send a message.

    Attributes
    ----------
    send_key : idempotency key, the same at every attempt
    attempt : 0 for the first
    headers : of the message
    decided_at : ms UTC of the decision
    reference : signed token that a provider brings back with its callbacks; "" if there is none
    may_be_at : the account that may have the message already, as an earlier attempt's outcome is unknown, "" if it is
        not known which; None if none has it. No other is given it.
    provenance : where its words come from, passed on to the receipt
    looked : set if the message is not to be sent but to be looked for at `may_be_at`
    from_name, reply_to : of an e-mail, whom it names as its sender and where answers go
        (:class:`whisperer.delivery.senders.Sender`); "" is the channel's own
    """

    send_key: SendKey
    decision_id: DecisionId
    tenant: TenantId
    user_key: UserKey
    campaign: str
    channel: str
    address: str
    parts: dict[str, str]
    headers: dict[str, str]
    locale: str
    content_hash: str
    attempt: int
    decided_at: int
    reference: str = ""
    may_be_at: str | None = None
    provenance: bytes = b""
    looked: Looked | None = None
    from_name: str = ""
    reply_to: str = ""


class Kept(msgspec.Struct, array_like=True, frozen=True):
    """Hold a message that the user's shard is to keep, as JSON; ``expires_in_s`` from then on, 0 is never."""

    message: bytes
    expires_in_s: int = 0


class Receipt(msgspec.Struct, array_like=True, frozen=True):
    """Report what became of one attempt.

    ``provider`` is the name of the account that it is about: its provider's, unless the tenant gave it another.
    ``repeatable``: for an unknown one, whether it is to be repeated: the provider honours the send key, so that a retry
    is no second message, or the tenant chose so. ``looked``: for an unknown one, that it is to be looked for after
    `retry_after_s`. ``settles``: the provider surely took nothing of what was unknown before.
    """

    send_key: SendKey
    status: Verdict
    provider: str = ""
    provider_id: str = ""
    detail: str = ""
    retry_after_s: float | None = None
    content_hash: str = ""
    locale: str = ""
    address_hash: bytes = b""
    """Hash of the address that bounced, filled in by the shard actor, which knows the address."""
    repeatable: bool = False
    kept: Kept | None = None
    """What provider `inbox` accepted: the record that brings this receipt puts it into the user's inbox."""
    provenance: bytes = b""
    """Of the message that this attempt had: JSON (:mod:`whisperer.content.generation.record`), b"" for none."""
    looked: Looked | None = None
    settles: bool = False
