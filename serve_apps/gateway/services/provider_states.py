"""Says how a channel's provider accounts do, from what the replicas of the delivery application last reported."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import msgspec
from ray.exceptions import RayTaskError

from actors.calls.directory import DirectoryCalls
from actors.calls.plain import read
from actors.calls.provider_states import AccountState, DeliveryReport
from cluster.control_plane import ChannelConfig
from cluster.times import iso
from serve_apps.gateway.services.kept import now_ms
from whisperer.delivery.breaker import BreakerState
from whisperer.delivery.plan import Account, accounts
from whisperer.errors import UnavailableError
from whisperer.ids import TenantId

_WORST_FIRST = (BreakerState.OPEN, BreakerState.HALF_OPEN, BreakerState.CLOSED)


class WarmUpDoing(msgspec.Struct, kw_only=True):
    """Where a warm-up stands: day ``day`` of ``days``, the first is 1; ``given`` of the day's ``limit`` messages."""

    day: int
    days: int
    limit: int
    given: int


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
    breaker_since : when the breaker left off being closed, or was closed again; None if it never opened
    per_second : messages a second that it may be given; None without a rate
    per_second_lately : messages a second that it was given in the last 10 s
    warm_up : None without one, and once it is over
    taken_over : messages that it carried because another account failed or was left alone
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
    breaker_since: str | None = None
    per_second: float | None = None
    per_second_lately: float = 0.0
    warm_up: WarmUpDoing | None = None
    taken_over: int = 0


class ChannelDoing(msgspec.Struct):
    """How a channel's accounts do. ``replicas``: how many of the delivery application have reported on it lately."""

    channel: str
    replicas: int
    accounts: list[AccountDoing]


class ProviderStates:
    """Reads the reports. Use from one event loop."""

    def __init__(self, directory: DirectoryCalls, clock: Callable[[], int] = now_ms) -> None:
        self._directory = directory
        self._clock = clock

    async def reports(self) -> list[DeliveryReport]:
        """Return each replica's report; none while the directory is away, or is of an older release."""
        try:
            return read(await self._directory.delivery_reports(), list[DeliveryReport])
        except (UnavailableError, RayTaskError, AttributeError):
            return []

    async def of(self, tenant: TenantId, channels: Mapping[str, ChannelConfig]) -> list[ChannelDoing]:
        """Return how the accounts of each channel do; those that carried nothing yet are well."""
        reports = await self.reports()
        return [self._of(tenant, channel, found, reports) for channel, found in channels.items()]

    def _of(
        self, tenant: TenantId, channel: str, found: ChannelConfig, reports: Sequence[DeliveryReport]
    ) -> ChannelDoing:
        now = self._clock()
        said = [
            one.accounts
            for report in reports
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
                    per_second=None if account.rates is None else account.rates.per_second,
                    warm_up=_warming(account, now),
                ),
                [state for states in said for state in states if state.account == account.name],
            )
            for account in accounts(found.provider, found.config, found.plan)
        ]
        return ChannelDoing(channel, len(said), doing)


def _warming(account: Account, now: int) -> WarmUpDoing | None:
    if account.warm_up is None:
        return None
    day = account.warm_up.day(now)
    limit = account.warm_up.per_day_on(day)
    return None if limit is None else WarmUpDoing(day=day + 1, days=len(account.warm_up.per_day), limit=limit, given=0)


def _added(doing: AccountDoing, states: Sequence[AccountState]) -> AccountDoing:
    if not states:
        return doing
    worst = min(states, key=lambda state: _WORST_FIRST.index(BreakerState(state.breaker)))
    return msgspec.structs.replace(
        doing,
        breaker=worst.breaker,
        left_alone_s=max(state.closed_for_ms for state in states) / 1000,
        times_opened=sum(state.times_opened for state in states),
        under_way=sum(state.under_way for state in states),
        receipts=dict(sum((Counter(state.receipts) for state in states), Counter[str]())),
        held=dict(sum((Counter(state.held) for state in states), Counter[str]())),
        searches=dict(sum((Counter(state.searches) for state in states), Counter[str]())),
        last_trouble=next((state.last_trouble for state in states if state.last_trouble), ""),
        breaker_since=iso(worst.since),
        per_second_lately=round(sum(state.per_second for state in states), 1),
        warm_up=doing.warm_up and msgspec.structs.replace(doing.warm_up, given=sum(state.warmed for state in states)),
        taken_over=sum(state.taken_over for state in states),
    )
