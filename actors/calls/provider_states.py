"""What a replica of the delivery application says of the provider accounts that it uses."""

from __future__ import annotations

import msgspec

from whisperer.ids import TenantId


class AccountState(msgspec.Struct, kw_only=True):
    """Report on one account, as one replica sees it.

    Attributes
    ----------
    breaker : "closed", "open" or "half_open"
    closed_for_ms : how long the breaker lets nothing through, 0 if it does
    under_way : messages that it is given or that are about to be
    receipts : what became of attempts, by status
    held : messages that were told to wait, by reason: rate, domain, warm_up, breaker, busy
    searches : what looks for messages whose outcome was unknown came to: found, not_there, unclear
    last_trouble : what was wrong when an attempt last failed for the account's sake, in our own words
    since : ms UTC when the breaker left off being closed, or was closed again; None if it never opened
    per_second : messages a second that it was lately given
    warmed : messages on this day of its warm-up
    taken_over : messages that it carried because another failed or was left alone
    """

    account: str
    provider: str
    breaker: str
    closed_for_ms: int
    times_opened: int
    under_way: int
    receipts: dict[str, int]
    held: dict[str, int]
    searches: dict[str, int] = {}
    last_trouble: str = ""
    since: int | None = None
    per_second: float = 0.0
    warmed: int = 0
    taken_over: int = 0


class ChannelState(msgspec.Struct):
    """Report on a channel's accounts."""

    tenant: TenantId
    channel: str
    accounts: list[AccountState]


class DeliveryReport(msgspec.Struct, kw_only=True):
    """Report what one replica knows of all channels that it has sent on."""

    replica: str
    channels: list[ChannelState]
