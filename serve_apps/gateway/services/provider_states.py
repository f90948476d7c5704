"""Says how a channel's provider accounts do, from what the replicas of the delivery application last reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
from ray.exceptions import RayTaskError

from actors.calls.directory import DirectoryCalls
from actors.calls.plain import read
from actors.calls.provider_states import AccountState, DeliveryReport
from cluster.control_plane import ChannelConfig
from whisperer.delivery.breaker import BreakerState
from whisperer.delivery.plan import accounts
from whisperer.errors import UnavailableError
from whisperer.ids import TenantId

_WORST_FIRST = (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED)


class AccountDoing(msgspec.Struct, kw_only=True):
    """How one account does, over all replicas since they started.

    Attributes
    ----------
    breaker : "closed", "open" or "half_open"; of several replicas, the worst
    left_alone_s : how long nothing is given to it, 0 if its breaker lets messages through
    times_opened : how often a breaker opened
    under_way : messages that it is given or that are about to be
    receipts : what became of attempts, by status
    held : messages that were told to wait, by reason: rate, domain, warm_up, breaker, busy
    searches : what looks for messages whose outcome was unknown came to: found, not_there, unclear
    last_trouble : what was wrong when an attempt last failed for the account's sake
    """

    account: str
    provider: str
    weight: int
    breaker: str
    left_alone_s: float = 0.0
    times_opened: int = 0
    under_way: int = 0
    receipts: dict[str, int] = {}
    held: dict[str, int] = {}
    searches: dict[str, int] = {}
    last_trouble: str = ""


class ChannelDoing(msgspec.Struct):
    """How a channel's accounts do. ``replicas``: how many of the delivery application have reported on it lately."""

    channel: str
    replicas: int
    accounts: list[AccountDoing]


class ProviderStates:
    """Reads the reports. Use from one event loop."""

    def __init__(self, directory: DirectoryCalls) -> None:
        self._directory = directory

    async def reports(self) -> list[DeliveryReport]:
        """Return each replica's report; none while the directory is away, or is of an older release."""
        try:
            return read(await self._directory.delivery_reports(), list[DeliveryReport])
        except (UnavailableError, RayTaskError, AttributeError):
            return []

    async def of(self, tenant: TenantId, channel: str, found: ChannelConfig) -> ChannelDoing:
        """Return how a channel's accounts do; those that carried nothing yet are well."""
        said = [
            one.accounts
            for report in await self.reports()
            for one in report.channels
            if (one.tenant, one.channel) == (tenant, channel)
        ]
        doing = [
            _added(
                AccountDoing(
                    account=account.name,
                    provider=account.provider,
                    weight=account.weight,
                    breaker=BreakerState.CLOSED,
                ),
                [state for states in said for state in states if state.account == account.name],
            )
            for account in accounts(found.provider, found.config, found.plan)
        ]
        return ChannelDoing(channel, len(said), doing)


def _added(doing: AccountDoing, states: Sequence[AccountState]) -> AccountDoing:
    if not states:
        return doing
    return msgspec.structs.replace(
        doing,
        breaker=min((state.breaker for state in states), key=lambda one: _WORST_FIRST.index(BreakerState(one))),
        left_alone_s=max(state.closed_for_ms for state in states) / 1000,
        times_opened=sum(state.times_opened for state in states),
        under_way=sum(state.under_way for state in states),
        receipts=dict(sum((Counter(state.receipts) for state in states), Counter[str]())),
        held=dict(sum((Counter(state.held) for state in states), Counter[str]())),
        searches=dict(sum((Counter(state.searches) for state in states), Counter[str]())),
        last_trouble=next((state.last_trouble for state in states if state.last_trouble), ""),
    )
