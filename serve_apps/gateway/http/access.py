"""Finds whom a key, a token or a session acts for, without querying the database for every request.

Answers, good and bad, are kept until the control plane says that the key, or its tenant's name, has changed. It is
polled a few times a second, so a revoked key stops working within `poll_interval_ms` on every replica. Other changes by
tenants invalidate nobody's key. Unknown keys do not displace known ones from the cache. While the control plane is
away, keys that are not remembered are looked for in a file of those that were valid (:mod:`.kept_keys`).
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request

from actors.telemetry import tracing
from actors.telemetry.logs import Seldom
from cluster.control_plane import Changes, ControlPlane, KeptSettings
from cluster.control_plane.audit.acting import ActorKind, act_as
from cluster.control_plane.identity.jwts import is_like_a_token
from cluster.control_plane.key_records import KeyRecord
from cluster.control_plane.keys import SECRET, key_hash
from serve_apps.gateway.http.connection import client_address
from serve_apps.gateway.http.cookies import check_origin, session_cookie
from serve_apps.gateway.http.kept_keys import MOST_KEPT, KeptKeys
from serve_apps.gateway.http.looked_at import Pseudonyms, entry
from serve_apps.gateway.http.observed import route_template
from serve_apps.gateway.http.principal import Principal, actor, keep, principal_of
from serve_apps.gateway.http.rates import CallRates, Tiers
from serve_apps.gateway.http.tokens import Tokens
from whisperer.access.permissions import EVERYTHING, PERSONAL, Permission
from whisperer.errors import InvalidKeyError, UnavailableError
from whisperer.events.write_key import presented_key
from whisperer.ids import TenantId
from whisperer.settings import TierSettings

MAX_REMEMBERED = 10_000
"""Known keys remembered, and as many unknown ones."""
MAX_KEY_CHARACTERS = 256
MAX_LOOKUPS = 200
"""Requests that may wait for the database to identify their key; any others must retry."""
LOOKUP_TIMEOUT_S = 5.0

_log = logging.getLogger(__name__)

NO_SETTINGS = KeptSettings()
USES_EVERY_S = 60.0
"""How often the last use of keys is written down."""


class Access:
    """The keys known to one replica. Use from one event loop."""

    def __init__(
        self,
        plane: ControlPlane,
        operator_token: str,
        poll_interval_s: float,
        client_secret: str = "",
        pseudonyms: Pseudonyms | None = None,
        tiers: Tiers | None = None,
        call_rates: CallRates | None = None,
        kept: KeptKeys | None = None,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
        *,
        issuer: str = "user-whisperer",
    ) -> None:
        self._plane = plane
        self._client_secret = client_secret
        self._kept = kept
        self._tiers = tiers or Tiers()
        self._call_rates = call_rates
        self._settings_of: dict[TenantId, KeptSettings] = {}
        """Of tenants that have settings."""
        self._origins: frozenset[bytes] = frozenset()
        self.pseudonyms = pseudonyms or Pseudonyms(operator_token.encode())
        self._clock_ms = clock_ms
        self._operator_token = operator_token
        self._poll_interval_s = poll_interval_s
        self._known: OrderedDict[str, KeyRecord] = OrderedDict()
        """By hash, most recently used last."""
        self._unknown: OrderedDict[str, None] = OrderedDict()
        self._n_forgotten = 0
        """How often keys were changed."""
        self._version = -1
        self._untold: set[TenantId] | None = None
        """Tenants whose change has not reached every shard yet; None: nothing has."""
        self._has_told = False
        self._must_keep = False
        """Keys were changed since the file of valid keys was last written."""
        self._runs_on_kept = False
        self._looking = ThreadPoolExecutor(2, thread_name_prefix="keys")
        self._n_looking = 0
        self._seldom = Seldom(_log)
        self.tokens = Tokens(plane, self.look, issuer, clock_ms)
        self._used: dict[str, int] = {}
        """When keys were last used (ms UTC), by id, since the database was told."""

    @property
    def healthy(self) -> bool:
        """Whether what is published has reached every shard once, or is there from before while the control plane is
        away.

        It stays true while the control plane is away: events are taken in, and messages sent, without it.
        """
        return self._has_told or self._runs_on_kept

    async def find(self, key: str | None) -> KeyRecord | None:
        """Return the key's tenant and kind, or None if it is unknown, revoked or absent.

        Raises UnavailableError if the control plane does not answer and the key is neither cached nor kept, so that a
        good key is never reported as a bad one.
        """
        if not key or len(key) > MAX_KEY_CHARACTERS:
            return None
        digest = key_hash(key)
        if digest in self._known:
            self._known.move_to_end(digest)
            return self._known[digest]
        if digest in self._unknown:
            return None
        n_forgotten = self._n_forgotten
        try:
            found: KeyRecord | None = await self.look(self._plane.find_key, key)
        except UnavailableError:
            found = None if self._kept is None else self._kept.find(digest)
            if found is None:
                raise
        if n_forgotten == self._n_forgotten:  # otherwise it may have been revoked while we looked
            if found is None:
                _remember(self._unknown, digest, None)
            else:
                _remember(self._known, digest, found)
        return found

    async def look(self, find: Callable[..., Any], *args: Any) -> Any:
        """Look something up in the control plane, two lookups at a time, in threads of their own: keys made up by
        strangers must not delay other work. Raises UnavailableError.
        """
        if self._n_looking >= MAX_LOOKUPS:
            raise UnavailableError("too many keys are being looked up", retry_after_s=1.0)
        self._n_looking += 1
        try:
            look = asyncio.get_running_loop().run_in_executor(self._looking, find, *args)
            return await asyncio.wait_for(look, LOOKUP_TIMEOUT_S)
        except Exception as error:  # a database problem does not make the key a bad one
            self._seldom.log(logging.WARNING, "lookup", "a key could not be looked up: %r", error)
            raise UnavailableError("keys cannot be looked up at the moment", retry_after_s=1.0) from error
        finally:
            self._n_looking -= 1

    async def principal(self, request: Request) -> Principal:
        """Return who makes a tenant's call: a secret key, a token, or the session of a browser's cookie.

        Raises InvalidKeyError, UnavailableError as :meth:`find`, and for a session ForbiddenError (`cross_site`).
        """
        presented = presented_key(request.headers.get("authorization"), None)
        if presented is not None and is_like_a_token(presented):
            return await self.tokens.principal(presented, self.address(request))
        if presented is None and (cookie := session_cookie(request)) is not None:
            check_origin(request, cookie)
            return await self.tokens.session(cookie)
        record = await self.find(presented)
        if record is None or record.kind != SECRET or not record.is_usable(self._clock_ms(), self.address(request)):
            raise InvalidKeyError("this needs a secret key (sk_…) or a token of the tenant: Authorization: Bearer …")
        self.note_use(record)
        name = record.label or record.id
        return Principal(ActorKind.KEY, record.id, name, record.tenant_id, record.permissions)

    def operator_for(self, request: Request, tenant_id: TenantId) -> Principal:
        """Return the operator as caller about a tenant. Raises InvalidKeyError."""
        self.operator(request.headers.get("authorization"))
        return Principal(ActorKind.OPERATOR, "", "operator", tenant_id, EVERYTHING)

    async def admit(self, request: Request, principal: Principal, permission: Permission) -> TenantId:
        """Let a call in whose caller has the permission, remember who it is, and return whose data it is about.

        A person's look at data about somebody is entered in the audit log first: where it cannot be entered, nothing is
        shown. Raises TooManyError, ForbiddenError, and UnavailableError if the database does not answer a person.
        """
        keep(request, principal)
        if self._call_rates is not None and principal.kind is not ActorKind.OPERATOR:
            await self._call_rates.take(request, principal, permission, self.tier(principal.tenant_id))
        principal.require(permission)
        self.act(request, principal)
        if principal.kind is ActorKind.PERSON and permission in PERSONAL:
            looked_at = entry(request, principal, permission, self.pseudonyms)
            await asyncio.to_thread(self._plane.note_in_audit_log, [looked_at])
        return principal.tenant_id

    async def charge(self, request: Request, permission: Permission) -> None:
        """Take once more what a call with a permission costs, for a call that does the work of several. Raises
        TooManyError.
        """
        principal = principal_of(request)
        if self._call_rates is not None and principal.kind is not ActorKind.OPERATOR:
            await self._call_rates.take(request, principal, permission, self.tier(principal.tenant_id))

    async def admit_user(self, request: Request, tenant_id: TenantId, user_id: str) -> None:
        """Let in a user with a token of their own, who counts as a key does. Raises TooManyError."""
        digest = key_hash(f"{tenant_id} {user_id}")[:32]
        principal = Principal(ActorKind.NOBODY, f"user:{digest}", "user", tenant_id, frozenset())
        keep(request, principal)
        if self._call_rates is not None:
            await self._call_rates.take(request, principal, Permission.USERS_READ, self.tier(tenant_id))
        self.act(request, principal)

    def act(self, request: Request, principal: Principal) -> None:
        """Remember who makes a call, also for the audit log."""
        keep(request, principal)
        traces = tracing.current()
        operation = f"{request.method} {route_template(request.scope)}"
        act_as(actor(principal, operation, self.address(request), traces[0].request_id if traces else ""))

    def tier(self, tenant_id: TenantId) -> TierSettings:
        """Return a tenant's limits."""
        return self._tiers.of(self._settings_of.get(tenant_id, NO_SETTINGS).tier)

    def is_known_origin(self, origin: bytes) -> bool:
        """Return whether a tenant lets pages of this origin call the API."""
        return origin in self._origins

    def address(self, request: Request) -> str | None:
        """Return the client's address, or None if our proxy does not vouch for it."""
        return client_address(dict(request.scope["headers"]), self._client_secret)

    def now_ms(self) -> int:
        """Return the time, in ms UTC."""
        return self._clock_ms()

    def note_use(self, record: KeyRecord) -> None:
        """Remember that a key was used; the database learns of it within :data:`USES_EVERY_S`."""
        self._used[record.id] = self._clock_ms()

    async def note_uses_forever(self) -> None:
        """Write down when keys were last used, now and then. Runs until cancelled."""
        while True:
            await asyncio.sleep(USES_EVERY_S)
            used, self._used = self._used, {}
            try:
                await asyncio.to_thread(self._plane.note_uses, used)
            except Exception as error:  # only dates are lost
                self._seldom.log(logging.WARNING, "uses", "the last use of keys could not be written: %r", error)

    def operator(self, authorization: str | None) -> None:
        """Raise InvalidKeyError unless the installation's operator token is presented."""
        if not self.is_operator(authorization):
            raise InvalidKeyError("this needs the installation's operator token: Authorization: Bearer op_…")

    def is_operator(self, authorization: str | None) -> bool:
        """Return whether the installation's operator token is presented."""
        presented = presented_key(authorization, None) or ""
        return hmac.compare_digest(presented.encode(), self._operator_token.encode())

    async def watch(self, on_change: Callable[[Collection[TenantId] | None], Awaitable[None]]) -> None:
        """Drop what the control plane says has changed, and report whose it was (None: everybody's). Runs until
        cancelled.

        The report takes as long as a shard needs to recover, and a revoked key must not work until then: so it runs
        concurrently with the polling, and is repeated until it succeeds.
        """
        telling = asyncio.ensure_future(self._tell(on_change))
        try:
            while True:
                try:
                    changes = await asyncio.to_thread(self._plane.changes_since, self._version)
                    concerned = None if changes.everything else changes.tenants
                    if concerned is None or concerned:  # first, so that a failure has all of it asked for again
                        self._note_settings(concerned, await asyncio.to_thread(self._plane.kept_settings, concerned))
                    self._take(changes)
                    self._must_keep |= bool(changes.everything or changes.keys or changes.all_keys_of)
                    if self._kept is not None and self._must_keep:
                        await asyncio.to_thread(self._keep, self._kept)
                        self._must_keep = False
                except Exception as error:
                    self._runs_on_kept = self._kept is not None and self._kept.version >= 0
                    self._seldom.log(
                        logging.WARNING,
                        "away",
                        "the control plane does not answer; keys already known stay valid: %r",
                        error.__cause__ or error,
                    )
                await asyncio.sleep(self._poll_interval_s)
        finally:
            telling.cancel()

    def _note_settings(self, concerned: Collection[TenantId] | None, found: Mapping[TenantId, KeptSettings]) -> None:
        if concerned is None:
            self._settings_of.clear()
        for tenant_id, settings in found.items():
            if settings == NO_SETTINGS:
                self._settings_of.pop(tenant_id, None)
            else:
                self._settings_of[tenant_id] = settings
        self._origins = frozenset(origin.encode() for one in self._settings_of.values() for origin in one.origins)

    def _keep(self, kept: KeptKeys) -> None:
        kept.write(*self._plane.valid_keys(MOST_KEPT))

    def _take(self, changes: Changes) -> None:
        self._version = changes.version
        self.tokens.forget(changes)
        if changes.everything:
            self._known.clear()
            self._unknown.clear()
            self._n_forgotten += 1
            self._untold = None
            return
        if self._untold is not None:
            self._untold |= changes.tenants
        if not changes.keys and not changes.all_keys_of:
            return
        self._n_forgotten += 1
        for digest in changes.keys:
            self._known.pop(digest, None)
            self._unknown.pop(digest, None)
        if changes.all_keys_of:
            for digest in [d for d, record in self._known.items() if record.tenant_id in changes.all_keys_of]:
                del self._known[digest]

    async def _tell(self, on_change: Callable[[Collection[TenantId] | None], Awaitable[None]]) -> None:
        while True:
            if self._version >= 0 and (self._untold is None or self._untold):
                untold, self._untold = self._untold, set()
                try:
                    await on_change(untold)
                    self._has_told = True
                except Exception as error:
                    self._untold = None if untold is None or self._untold is None else untold | self._untold
                    _log.warning("what is published has not reached every shard; trying again: %r", error)
            await asyncio.sleep(self._poll_interval_s)


def _remember(kept: OrderedDict[str, Any], digest: str, found: KeyRecord | None) -> None:
    kept[digest] = found
    if len(kept) > MAX_REMEMBERED:
        kept.popitem(last=False)
