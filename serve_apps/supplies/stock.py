"""Knows the catalogues and coupon pools that the templates rendered here draw on.

They are looked at again when the control plane's version changes (:mod:`.versions`); a catalogue is loaded again only
if it has changed itself, as a whole, in a thread, and not more often than every :data:`REST_FACTOR` times what loading
it took: a catalogue whose items change all the time costs a fixed share of a core. If the control plane does not
answer, what is known stays; what is not known raises, and what needs it is rendered later. At most
:data:`MAX_BYTES` of items are kept, those used last. Use from one event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from actors.telemetry.logs import Seldom
from serve_apps.supplies.versions import POLL_INTERVAL_S, PlaneVersion
from whisperer.content.catalogue.table import ItemTable
from whisperer.ids import TenantId

MAX_BYTES = 256 << 20
"""Of items as JSON; what is kept takes about twice that."""
PREVIEWED_BYTES = 48 << 20
"""The same where only previews are made."""
MAX_POOLS_KEPT = 10_000
"""Tenants."""
REST_FACTOR = 10.0

_seldom = Seldom(logging.getLogger(__name__))


class Plane(Protocol):
    """The part of the control plane that is used here; all methods block."""

    def version(self) -> int: ...
    def catalogue_revision(self, tenant_id: TenantId, name: str) -> int | None: ...
    def load_catalogue(self, tenant_id: TenantId, name: str) -> Any:
        """Return ``revision``, ``fields`` and ``items``, or None."""

    def code_lengths(self, tenant_id: TenantId) -> dict[str, int]: ...


@dataclass(slots=True)
class _Held:
    """A catalogue; ``table`` is None where there is none. ``seen``: the control plane's version then."""

    seen: int
    revision: int | None
    table: ItemTable | None
    rests_until: float


class Stock:
    """What is known of all tenants' catalogues and pools."""

    def __init__(self, plane: Plane, *, poll_interval_s: float = POLL_INTERVAL_S, max_bytes: int = MAX_BYTES) -> None:
        self._plane = plane
        self._version = PlaneVersion(plane, poll_interval_s)
        self._max_bytes = max_bytes
        self._held: OrderedDict[tuple[TenantId, str], _Held] = OrderedDict()
        self._n_bytes = 0
        self._lengths: OrderedDict[TenantId, tuple[int, dict[str, int]]] = OrderedDict()
        self._loading: dict[tuple[TenantId, str], asyncio.Task[None]] = {}

    async def catalogues(self, tenant: TenantId, names: Collection[str]) -> Mapping[str, ItemTable]:
        """Return a tenant's catalogues of these names, without those that there are not. Raises whatever the control
        plane raised if one is not known yet.
        """
        if not names:
            return {}
        version = await self._version.current()
        found: dict[str, ItemTable] = {}
        for name in sorted(names):
            held = await self._catalogue((tenant, name), version)
            if held is not None:
                found[name] = held
        return found

    async def code_lengths(self, tenant: TenantId) -> Mapping[str, int]:
        """Return the length of the longest code of each of a tenant's pools."""
        version, held = await self._version.current(), self._lengths.get(tenant)
        if held is not None and held[0] == version:
            return held[1]
        try:
            lengths = await asyncio.to_thread(self._plane.code_lengths, tenant)
        except Exception as error:
            if held is None:
                raise
            _stays(error)
            return held[1]
        self._lengths[tenant] = version, lengths
        self._lengths.move_to_end(tenant)
        while len(self._lengths) > MAX_POOLS_KEPT:
            self._lengths.popitem(last=False)
        return lengths

    async def _catalogue(self, key: tuple[TenantId, str], version: int) -> ItemTable | None:
        held = self._held.get(key)
        if held is None or (held.seen != version and asyncio.get_running_loop().time() >= held.rests_until):
            loading = self._loading.get(key)
            if loading is None:  # several batches may want it at once
                loading = self._loading[key] = asyncio.ensure_future(self._look(key, version))
                loading.add_done_callback(lambda _: self._loading.pop(key, None))
            try:
                await asyncio.shield(loading)
            except Exception as error:
                if held is None:
                    raise
                _stays(error)
                return held.table
            held = self._held.get(key) or held
        if held is None:
            return None
        if key in self._held:
            self._held.move_to_end(key)
        return held.table

    async def _look(self, key: tuple[TenantId, str], version: int) -> None:
        loop = asyncio.get_running_loop()
        held, begun = self._held.get(key), loop.time()
        revision = await asyncio.to_thread(self._plane.catalogue_revision, *key)
        if held is not None and held.revision == revision:
            held.seen = version
            return
        loaded, table = await asyncio.to_thread(self._load, key)
        took = loop.time() - begun
        revision = None if loaded is None else loaded.revision
        self._forget(key)
        self._held[key] = _Held(version, revision, table, loop.time() + REST_FACTOR * took)
        self._n_bytes += 0 if table is None else table.n_bytes
        while self._n_bytes > self._max_bytes and len(self._held) > 1:
            self._forget(next(iter(self._held)))

    def _load(self, key: tuple[TenantId, str]) -> tuple[Any, ItemTable | None]:
        loaded = self._plane.load_catalogue(*key)
        return loaded, None if loaded is None else ItemTable(loaded.fields, loaded.items)

    def _forget(self, key: tuple[TenantId, str]) -> None:
        gone = self._held.pop(key, None)
        if gone is not None and gone.table is not None:
            self._n_bytes -= gone.table.n_bytes


def _stays(error: Exception) -> None:
    _seldom.log(logging.WARNING, "stock", "what is known of catalogues and coupons stays as it is: %r", error)
