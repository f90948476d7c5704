"""Takes what providers post about messages: verified first, then journaled as outcomes, then answered.

A callback is taken whole or, if a shard is away, to be posted again; whatever of it is journaled already changes
nothing the second time. Events of messages that are not ours, or not of this token's tenant and channel, are left out
and counted. :data:`Fate` names every end that a callback, or an event in it, can come to.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from actors.calls.shards import ShardCalls
from cluster.control_plane import ChannelConfig, ControlPlane
from serve_apps.gateway.services.sns import SnsClient
from serve_apps.gateway.services.user_list import UserList
from whisperer.delivery.addresses import usable_address
from whisperer.delivery.plan import accounts
from whisperer.eligibility.consent import ALL
from whisperer.errors import (
    ForbiddenError,
    NotFoundError,
    OverloadError,
    RequestError,
    TooManyError,
    UnavailableError,
    WhispererError,
)
from whisperer.feedback.callback_tokens import PATH, CallbackToken, CallbackTokens
from whisperer.feedback.callbacks import CALLBACKS
from whisperer.feedback.callbacks.spec import Fate, Heard, Keyword, Post, Refusal, Reply, Told
from whisperer.feedback.outcome import OutcomeKind
from whisperer.feedback.references import References
from whisperer.ids import DecisionId, Partition, TenantId, UserKey, partition_of, tenant_seed
from whisperer.journeys.engagement import DecisionStatus
from whisperer.settings import CallbackSettings
from whisperer.shard.records import Outcome
from whisperer.shard.state.loop import BY_REPLY
from whisperer.shard.views.listing import TraitSought, UserQuery
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.units import DAY_MS

Take = Callable[[str, float, float], Awaitable[float | None]]
"""(name, tokens, rate a second) -> None, or the seconds until there are so many."""
Count = Callable[[str, str, int], None]
"""Counts so many of a provider's callbacks or events that came to one end (:class:`Fate`)."""

KNOWN_FOR_S = 1.0
"""For how long a channel's configuration is known; a token that was replaced is good for at most this long after."""
MAX_KNOWN = 10_000
MAX_REMEMBERED = 20_000
"""Callbacks that a replica remembers having taken."""
MOST_WITH_A_NUMBER = 20
"""Users with the same number whom a reply is taken to be from."""
JOURNAL_TIMEOUT_S, RETRY_AFTER_S = 10.0, 5.0
MOST_A_RECORD = 100
"""Outcomes in one record: 10 ms, if all are soft bounces of a user who has as many decisions as a user may have."""
AT_ONCE = 16
"""Partitions written at a time for one callback."""


@dataclass(frozen=True, slots=True)
class Posted:
    """A post as it came in. ``target`` is the query as it was written, with its question mark, or ""."""

    target: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


class Callbacks:
    """The callbacks of one replica. Use from one event loop. ``secret`` is the installation's."""

    def __init__(
        self,
        plane: ControlPlane,
        shards: ShardCalls,
        user_list: UserList,
        sns: SnsClient,
        take: Take,
        *,
        secret: bytes,
        public_url: str,
        settings: CallbackSettings | None = None,
        count: Count = lambda *_: None,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plane = plane
        self._shards = shards
        self._user_list = user_list
        self._sns = sns
        self._take = take
        self._tokens = CallbackTokens(secret)
        self._references = References(secret)
        self._public_url = public_url
        self._settings = settings or CallbackSettings()
        self._count = count
        self._now_ms = now_ms
        self._clock = clock
        self._channels: OrderedDict[tuple[TenantId, str], tuple[float, ChannelConfig | None]] = OrderedDict()
        self._taken: OrderedDict[bytes, None] = OrderedDict()

    def url(self, tenant: TenantId, channel: str, provider: str, serial: int) -> str | None:
        """Return where one of a channel's providers posts its callbacks, None if it has none."""
        if provider not in CALLBACKS:
            return None
        token = CallbackToken(tenant, channel, provider, serial)
        return self._tokens.url(self._public_url, token)

    async def take(self, provider: str, token: str, posted: Posted) -> Heard:
        """Verify a callback and journal what it says; return what its provider is to be answered.

        Raises NotFoundError for a token that is not good, ForbiddenError and RequestError if nothing of it is believed,
        TooManyError, and UnavailableError and OverloadError if it has to be posted again.
        """
        opened = self._tokens.read(token)
        if opened is None or opened.provider != provider or provider not in CALLBACKS:
            raise _unknown()
        try:
            return await self._take_of(opened, f"{self._public_url}{PATH}{provider}/{token}", posted)
        except (UnavailableError, OverloadError) as error:
            limited = isinstance(error, TooManyError)
            self._count(provider, Fate.LIMITED if limited else Fate.UNAVAILABLE, 1)
            error.retry_after_s = error.retry_after_s or RETRY_AFTER_S
            raise

    async def _take_of(self, token: CallbackToken, address: str, posted: Posted) -> Heard:
        provider = token.provider
        await self._limit(token)
        channel = await self._channel(token)
        configs = [] if channel is None or channel.callback_serial != token.serial else _configs(channel, provider)
        if not configs:
            raise _unknown()
        post = Post(address + posted.target, posted.query, posted.headers, posted.body, self._now_ms())
        heard: Heard | Refusal
        for config in configs:
            heard = await self._heard(provider, post, config)
            if not isinstance(heard, Refusal):
                break  # verified by this account's key
        if isinstance(heard, Refusal):
            self._count(provider, heard.fate, 1)
            raise _refused(heard)
        digest = hashlib.blake2b(post.url.encode() + b"\x00" + post.body, digest_size=16).digest()
        if digest in self._taken:
            self._count(provider, Fate.REPEATED, 1)
            return heard
        if heard.visit:
            await self._sns.confirm(heard.visit)
            self._count(provider, Fate.TAKEN, 1)
        outcomes = self._outcomes(token, heard.told, post.now)
        for reply in heard.replies:
            outcomes += await self._of_reply(token, reply, post.now)
        await self._journal(token.tenant, outcomes)
        self._count(provider, Fate.TAKEN, len(outcomes))
        self._count(provider, Fate.IGNORED, heard.n_ignored)
        self._taken[digest] = None
        while len(self._taken) > MAX_REMEMBERED:
            self._taken.popitem(last=False)
        return heard

    async def _limit(self, token: CallbackToken) -> None:
        name = f"callbacks:{token.tenant}:{token.channel}"
        wait_s = await self._take(name, 1.0, float(self._settings.calls_per_s))
        if wait_s is not None:
            raise TooManyError(
                "this channel's provider posts more callbacks than the limit allows",
                code="rate_limited",
                retry_after_s=math.ceil(wait_s),
            )

    async def _channel(self, token: CallbackToken) -> ChannelConfig | None:
        """Return a channel's configuration; what was known stays good while the control plane is away."""
        key = token.tenant, token.channel
        known = self._channels.get(key)
        if known is not None and self._clock() - known[0] < KNOWN_FOR_S:
            return known[1]
        try:
            found = await asyncio.to_thread(self._plane.channel, *key)
        except NotFoundError:
            return None
        except WhispererError:
            if known is None:
                raise
            return known[1]
        self._channels[key] = self._clock(), found
        self._channels.move_to_end(key)
        while len(self._channels) > MAX_KNOWN:
            self._channels.popitem(last=False)
        return found

    async def _heard(self, provider: str, post: Post, config: dict[str, Any]) -> Heard | Refusal:
        spec, pem = CALLBACKS[provider], b""
        if spec.certificate is not None:
            url = spec.certificate(post, config)
            if isinstance(url, Refusal):
                return url
            pem = await self._sns.certificate(url)
        return await asyncio.to_thread(spec.read, post, config, pem)

    # -- what was said -------------------------------------------------------------------------------------------------

    def _outcomes(self, token: CallbackToken, told: list[Told], now: int) -> list[Outcome]:
        """Return the outcomes of what was said about messages of the token's tenant and channel."""
        outcomes = []
        for one in told:
            reference = self._references.read(one.reference)
            if reference is None:
                self._count(token.provider, Fate.UNREFERENCED, 1)
            elif (reference.tenant, reference.channel) != (token.tenant, token.channel):
                self._count(token.provider, Fate.FOREIGN, 1)
            else:
                outcomes.append(
                    Outcome(
                        reference.user_key,
                        reference.decision_id,
                        one.kind,
                        min(one.at, now),
                        one.detail,
                        reference.channel,
                        ALL if one.kind == OutcomeKind.UNSUBSCRIBED else "",
                        reference.address_hash,
                        *(self._soft_limit if one.kind == OutcomeKind.SOFT_BOUNCED else (0, 0)),
                    )
                )
        return outcomes

    @property
    def _soft_limit(self) -> tuple[int, int]:
        return self._settings.soft_bounces, round(self._settings.soft_bounce_days * DAY_MS)

    async def _of_reply(self, token: CallbackToken, reply: Reply, now: int) -> list[Outcome]:
        """Return the outcomes of a message that came in, for each user who has the address that it came from."""
        users = await self._with_address(token.tenant, token.channel, reply.sender)
        if not users:
            self._count(token.provider, Fate.UNREFERENCED, 1)
        outcomes = []
        for user in users:
            partition = partition_of(user, tenant_seed(token.tenant))
            view = await self._shards.user(token.tenant, partition, user, None)
            if view is None:
                continue
            if reply.keyword is Keyword.START:
                await self._start_again(token, user, partition, view.standing.consent.get(f"{token.channel}/{ALL}"))
            sent = (
                one.id
                for one in view.candidacies
                if one.status == DecisionStatus.SENT and one.send is not None and one.send.channel == token.channel
            )
            decision, at = next(sent, DecisionId("")), min(reply.at, now)
            if reply.keyword is Keyword.STOP:
                kind, detail, purpose = OutcomeKind.UNSUBSCRIBED, BY_REPLY, ALL
            else:
                kind, detail, purpose = OutcomeKind.REPLIED, reply.keyword or "", ""
            outcomes.append(Outcome(user, decision, kind, at, detail, token.channel, purpose))
        return outcomes

    async def _start_again(self, token: CallbackToken, user: UserKey, partition: Partition, stated: object) -> None:
        """Take back an earlier STOP; START alone is no consent to what nobody agreed to."""
        if getattr(stated, "granted", True) or getattr(stated, "source", "") != BY_REPLY:
            return
        await self._shards.on_partition(
            token.tenant, partition, "state_consent", token.tenant, user, token.channel, ALL, True, BY_REPLY
        )

    async def _with_address(self, tenant: TenantId, channel: str, sender: str) -> list[UserKey]:
        """Return users who state an address in its usual form; other spellings are not found."""
        usual = usable_address(channel, sender) if channel in CHANNELS else None
        if usual is None:
            return []
        found: dict[UserKey, None] = {}
        for trait in CHANNELS[channel].address.traits:
            query = UserQuery(tenant=tenant, sought=[TraitSought(trait, usual)], limit=MOST_WITH_A_NUMBER)
            users, _ = await self._user_list.found(query)
            found.update(dict.fromkeys(user.key for user in users))
        return list(found)[:MOST_WITH_A_NUMBER]

    async def _journal(self, tenant: TenantId, outcomes: list[Outcome]) -> None:
        """Journal outcomes at their users' homes; returns when all are on disk. Raises UnavailableError."""
        by_partition: dict[Partition, list[Outcome]] = {}
        for outcome in outcomes:
            by_partition.setdefault(partition_of(outcome.user, tenant_seed(tenant)), []).append(outcome)
        free = asyncio.Semaphore(AT_ONCE)

        async def write(partition: Partition, some: list[Outcome]) -> None:
            async with free:
                for start in range(0, len(some), MOST_A_RECORD):
                    part = some[start : start + MOST_A_RECORD]
                    await self._shards.on_partition(
                        tenant, partition, "outcomes", tenant, part, timeout_s=JOURNAL_TIMEOUT_S
                    )

        try:
            async with asyncio.timeout(JOURNAL_TIMEOUT_S), asyncio.TaskGroup() as group:
                for partition, some in by_partition.items():
                    group.create_task(write(partition, some))
        except TimeoutError:
            raise UnavailableError("a shard does not answer; post this again", retry_after_s=RETRY_AFTER_S) from None
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None


def _unknown() -> NotFoundError:
    return NotFoundError("there is nothing at this address", code="callback_not_found")


def _configs(channel: ChannelConfig, provider: str) -> list[dict[str, Any]]:
    """Return the configurations of a channel's accounts at a provider."""
    every = accounts(channel.provider, channel.config, channel.plan)
    return [account.config for account in every if account.provider == provider]


def _refused(refusal: Refusal) -> RequestError:
    kind = RequestError if refusal.fate == Fate.MALFORMED else ForbiddenError
    return kind(f"{refusal.message}; nothing of this was believed", code=f"callback_{refusal.fate}")
