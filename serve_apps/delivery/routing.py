"""Decides which provider currently serves a tenant's channel.

The control plane's answers are kept until its version changes; the version is checked only when something is to be
sent, at most every `POLL_INTERVAL_S`. A channel without a row uses what its entry says, mostly the sink. If the control
plane does not answer, what is known stays valid, and what is unknown is not guessed: the message is tried again later,
never sent to the sink instead. A provider is kept, with its connections, while its configuration stays the same; one no
longer wanted is closed once nothing is being sent through it. So is each of its accounts, with what its breaker and its
rates remember, while only others change.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from actors.calls.provider_states import ChannelState
from actors.telemetry.logs import Seldom
from serve_apps.delivery.account import Carrier, steady
from serve_apps.delivery.admission import Admission, Admitting
from serve_apps.delivery.attempts import Leave
from serve_apps.delivery.provider import Provider
from serve_apps.delivery.spread import Spread, not_looked_for
from whisperer.delivery.dispatch import Dispatch, Receipt
from whisperer.delivery.plan import ALONE, Account, Plan, accounts
from whisperer.ids import TenantId
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.providers import UNSET

POLL_INTERVAL_S = 0.5
LOOK_PATIENCE_S = 1.0

_log = logging.getLogger(__name__)


class ChannelConfig(Protocol):
    """The provider of a channel, and its configuration."""

    @property
    def provider(self) -> str: ...
    @property
    def config(self) -> dict[str, Any]: ...
    @property
    def plan(self) -> Plan: ...


class Plane(Protocol):
    """The part of the control plane that is used here; both methods block."""

    def version(self) -> int: ...
    def channel(self, tenant_id: TenantId, channel: str) -> ChannelConfig | None: ...


Make = Callable[[str, dict[str, Any]], Admitting]
"""(name of the provider, its configuration) -> the adapter. Raises ValueError if the configuration is unusable."""


class Sending(Protocol):
    """Carries the messages of one channel."""

    async def send(self, dispatch: Dispatch, leave: Leave | None = None) -> Receipt:
        """Make one attempt, noted by ``leave`` before it goes, and return its receipt."""
        ...


class _Noteless:
    """The sink, for channels that nothing is known of: it takes send keys, so that nothing has to be noted."""

    def __init__(self, sink: Admitting) -> None:
        self._sink = sink

    async def send(self, dispatch: Dispatch, leave: Leave | None = None) -> Receipt:
        if dispatch.looked is not None:
            return not_looked_for(dispatch, UNSET)
        return await self._sink.send(dispatch)


@dataclass(slots=True)
class _Route:
    provider: Spread
    configured: bytes
    n_sending: int = 0
    wanted: bool = True


class Routing:
    """The providers in use. Use from one event loop.

    ``share`` is the part of every rate that this replica may use; ``clock`` gives ms UTC.
    """

    def __init__(
        self,
        plane: Plane,
        sink: Provider,
        make: Make,
        *,
        poll_interval_s: float = POLL_INTERVAL_S,
        share: float = 1.0,
        clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._plane = plane
        self._sink = Admission(sink)
        self._sink_alone = _Noteless(self._sink)
        self._make = make
        self._share = share
        self._clock = steady(clock)
        self._poll_interval_s = poll_interval_s
        self._routes: dict[tuple[TenantId, str], _Route | None] = {}
        self._stale: set[tuple[TenantId, str]] = set()
        self._version = -1
        self._looked_at = float("-inf")
        self._looking: asyncio.Task[None] | None = None
        self._asking = asyncio.Lock()
        self._leaving: set[asyncio.Task[None]] = set()
        self._seldom = Seldom(_log)

    @asynccontextmanager
    async def provider(self, tenant: TenantId, channel: str) -> AsyncIterator[Sending]:
        """Yield the provider, kept open until the block ends. Raises whatever the control plane raised."""
        async with self._asking:
            await self._look()
            route = await self._route(tenant, channel)
            if route is not None:
                route.n_sending += 1
        if route is None:
            yield self._sink_alone
            return
        try:
            yield route.provider
        finally:
            route.n_sending -= 1
            if not route.wanted and route.n_sending == 0:
                await route.provider.aclose()

    async def aclose(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        await asyncio.gather(*self._leaving)
        for route in self._routes.values():
            await self._leave(route)
        self._routes.clear()

    async def _look(self) -> None:
        """Look whether channels may have changed, and wait for that a moment: a control plane that hangs holds up one
        message a look, not all of them."""
        if self._looking is not None and not self._looking.done():
            return
        if asyncio.get_running_loop().time() - self._looked_at < self._poll_interval_s:
            return
        self._looking = asyncio.ensure_future(self._ask())
        await asyncio.wait({self._looking}, timeout=LOOK_PATIENCE_S)

    async def _ask(self) -> None:
        try:
            version = await asyncio.to_thread(self._plane.version)
        except Exception as error:
            self._seldom.log(
                logging.WARNING,
                "version",
                "the control plane does not answer; channels already known stay as they are: %r",
                error.__cause__ or error,
            )
        else:
            if version != self._version:
                self._stale = set(self._routes)
                self._version = version
        self._looked_at = asyncio.get_running_loop().time()

    async def _route(self, tenant: TenantId, channel: str) -> _Route | None:
        key = (tenant, channel)
        if key in self._routes and key not in self._stale:
            return self._routes[key]
        try:
            found = await asyncio.to_thread(self._plane.channel, tenant, channel)
        except Exception:
            if key not in self._routes:
                raise
            _log.exception("the control plane does not answer; channel %s stays as it was", channel)
            return self._routes[key]
        old = self._routes.get(key)
        new = await self._renewed(channel, found, old)
        self._routes[key] = new
        self._stale.discard(key)
        if new is not old:
            # Nobody waits for it: a server that does not let go holds up no other channel.
            leaving = asyncio.ensure_future(self._leave(old))
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
        return new

    async def _renewed(self, channel: str, found: ChannelConfig | None, old: _Route | None) -> _Route | None:
        name, config = (CHANNELS[channel].unset, {}) if found is None else (found.provider, found.config)
        plan = ALONE if found is None else found.plan
        if name == UNSET and plan == ALONE:
            return None
        configured = msgspec.json.encode((name, config, plan), order="deterministic")
        if old is not None and old.configured == configured:
            return old
        kept = {} if old is None else {one.account.name: one for one in old.provider.carriers}
        carriers: list[Carrier] = []
        try:
            for account in accounts(name, config, plan):
                carriers.append(self._carrier(account, kept.get(account.name)))
        except Exception:
            for carrier in carriers:
                await carrier.let_go()
            raise
        return _Route(Spread(carriers), configured)

    def _carrier(self, account: Account, kept: Carrier | None) -> Carrier:
        if kept is not None and (kept.account.provider, kept.account.config) == (account.provider, account.config):
            kept.hold(account)
            return kept
        if account.provider == UNSET:
            return Carrier(account, self._sink, self._share, self._clock, keep_open=True)
        return Carrier(account, self._make(account.provider, account.config), self._share, self._clock)

    def states(self) -> list[ChannelState]:
        """Report on the accounts of every channel that is in use."""
        return [
            ChannelState(tenant, channel, [carrier.state() for carrier in route.provider.carriers])
            for (tenant, channel), route in self._routes.items()
            if route is not None
        ]

    async def _leave(self, route: _Route | None) -> None:
        if route is not None:
            route.wanted = False
            if route.n_sending == 0:
                await route.provider.aclose()
