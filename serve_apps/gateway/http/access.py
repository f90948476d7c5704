"""Finds whom a key acts for, without querying the database for every request.

Answers, good and bad, are kept until the control plane says that the key, or its tenant's name, has changed. It is
polled a few times a second, so a revoked key stops working within `poll_interval_ms` on every replica. Other changes by
tenants invalidate nobody's key. Unknown keys do not displace known ones from the cache.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from actors.telemetry.logs import Seldom
from cluster.control_plane import Changes, ControlPlane
from cluster.control_plane.api_keys import KeyRecord
from cluster.control_plane.keys import key_hash
from whisperer.errors import InvalidKeyError, UnavailableError
from whisperer.events.write_key import presented_key
from whisperer.ids import TenantId

MAX_REMEMBERED = 10_000
"""Known keys remembered, and as many unknown ones."""
MAX_KEY_CHARACTERS = 256
MAX_LOOKUPS = 200
"""Requests that may wait for the database to identify their key; any others must retry."""
LOOKUP_TIMEOUT_S = 5.0

_log = logging.getLogger(__name__)

WRITE, SECRET = "write", "secret"


class Access:
    """The keys known to one replica. Use from one event loop."""

    def __init__(self, plane: ControlPlane, operator_token: str, poll_interval_s: float) -> None:
        self._plane = plane
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
        self._answers = False
        self._looking = ThreadPoolExecutor(2, thread_name_prefix="keys")
        self._n_looking = 0
        self._seldom = Seldom(_log)

    @property
    def healthy(self) -> bool:
        """Whether the control plane answers and its content has reached every shard once."""
        return self._answers and self._has_told

    async def find(self, key: str | None) -> KeyRecord | None:
        """Return the key's tenant and kind, or None if it is unknown, revoked or absent.

        Raises UnavailableError if the control plane does not answer and the key is not cached, so that a good key is
        never reported as a bad one.
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
        found = await self._look_up(key)
        if n_forgotten == self._n_forgotten:  # otherwise it may have been revoked while we looked
            if found is None:
                _remember(self._unknown, digest, None)
            else:
                _remember(self._known, digest, found)
        return found

    async def _look_up(self, key: str) -> KeyRecord | None:
        """Look a key up, two lookups at a time, in threads of their own: keys made up by strangers must not delay other
        work."""
        if self._n_looking >= MAX_LOOKUPS:
            raise UnavailableError("too many keys are being looked up", retry_after_s=1.0)
        self._n_looking += 1
        try:
            look = asyncio.get_running_loop().run_in_executor(self._looking, self._plane.find_key, key)
            return await asyncio.wait_for(look, LOOKUP_TIMEOUT_S)
        except Exception as error:  # a database problem does not make the key a bad one
            self._seldom.log(logging.WARNING, "lookup", "a key could not be looked up: %r", error)
            raise UnavailableError("keys cannot be looked up at the moment", retry_after_s=1.0) from error
        finally:
            self._n_looking -= 1

    async def secret(self, authorization: str | None) -> KeyRecord:
        """Return the tenant a secret key acts for. Raises InvalidKeyError."""
        record = await self.find(presented_key(authorization, None))
        if record is None or record.kind != SECRET:
            raise InvalidKeyError("this needs a secret key (sk_…) of the tenant: Authorization: Bearer sk_…")
        return record

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
                    self._take(await asyncio.to_thread(self._plane.changes_since, self._version))
                    self._answers = True
                except Exception:
                    self._answers = False
                    _log.exception("the control plane does not answer; keys already known stay valid")
                await asyncio.sleep(self._poll_interval_s)
        finally:
            telling.cancel()

    def _take(self, changes: Changes) -> None:
        self._version = changes.version
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
