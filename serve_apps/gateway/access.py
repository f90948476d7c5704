"""Whom a key speaks for, without asking the database for every request.

Answers are kept, good and bad, until the control plane's version changes; it is looked at a few times a second, so a
revoked key stops working within `poll_interval_ms` on every replica.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from cluster.control_plane import ControlPlane
from cluster.control_plane.api_keys import KeyRecord
from cluster.control_plane.keys import key_hash
from whisperer.errors import InvalidKeyError
from whisperer.events.write_key import presented_key

MAX_REMEMBERED = 10_000
MAX_KEY_CHARACTERS = 256

_log = logging.getLogger(__name__)

WRITE, SECRET = "write", "secret"


class Access:
    def __init__(self, plane: ControlPlane, operator_token: str, poll_interval_s: float) -> None:
        self._plane = plane
        self._operator_token = operator_token
        self._poll_interval_s = poll_interval_s
        self._known: OrderedDict[str, KeyRecord | None] = OrderedDict()
        self._version = -1
        self._told = -1
        self._answers = False

    @property
    def healthy(self) -> bool:
        """The control plane answers, and what it holds has reached every shard once."""
        return self._answers and self._told >= 0

    async def find(self, key: str | None) -> KeyRecord | None:
        """The key's tenant and kind; None when it is unknown, revoked or absent."""
        if not key or len(key) > MAX_KEY_CHARACTERS:
            return None
        digest = key_hash(key)
        if digest in self._known:
            return self._known[digest]
        version = self._version
        found = await asyncio.to_thread(self._plane.find_key, key)
        if version == self._version:  # else it may have been revoked while we looked
            self._known[digest] = found
        if len(self._known) > MAX_REMEMBERED:
            self._known.popitem(last=False)
        return found

    async def secret(self, authorization: str | None) -> KeyRecord:
        """The tenant a secret key speaks for. Raises InvalidKeyError."""
        record = await self.find(presented_key(authorization, None))
        if record is None or record.kind != SECRET:
            raise InvalidKeyError("this needs a secret key (sk_…) of the tenant: Authorization: Bearer sk_…")
        return record

    def operator(self, authorization: str | None) -> None:
        """Raises InvalidKeyError unless the installation's operator token is presented."""
        if not self.is_operator(authorization):
            raise InvalidKeyError("this needs the installation's operator token: Authorization: Bearer op_…")

    def is_operator(self, authorization: str | None) -> bool:
        presented = presented_key(authorization, None) or ""
        return hmac.compare_digest(presented.encode(), self._operator_token.encode())

    async def watch(self, on_change: Callable[[], Awaitable[None]]) -> None:
        """Forget everything when the control plane changes, and say so. Runs until cancelled.

        Saying so takes as long as a shard needs to recover, and a revoked key may not work until then: it goes on
        beside the looking, again and again until it is done.
        """
        telling = asyncio.ensure_future(self._tell(on_change))
        try:
            while True:
                try:
                    version = await asyncio.to_thread(self._plane.version)
                    if version != self._version:
                        self._version = version
                        self._known.clear()
                    self._answers = True
                except Exception:
                    self._answers = False
                    _log.exception("the control plane does not answer; keys already known stay valid")
                await asyncio.sleep(self._poll_interval_s)
        finally:
            telling.cancel()

    async def _tell(self, on_change: Callable[[], Awaitable[None]]) -> None:
        while True:
            version = self._version
            if version != self._told:
                try:
                    await on_change()
                    self._told = version
                except Exception as error:
                    _log.warning("what is published has not reached every shard; trying again: %r", error)
            await asyncio.sleep(self._poll_interval_s)
