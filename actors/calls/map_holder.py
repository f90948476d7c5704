"""Hold the newest partition map that this process has seen, and the tables that follow from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actors.calls.directory import DirectoryCalls
from actors.calls.partition_map import PartitionMap
from whisperer.ids import TenantId


class MapHolder:
    """Hold the current map; it never goes back to an older one. Use from one event loop."""

    def __init__(self, directory: DirectoryCalls | None = None) -> None:
        self._directory = directory or DirectoryCalls()
        self._tables: dict[TenantId, list[int]] = {}
        self._homes: dict[TenantId, NDArray[np.int64]] = {}
        self._current = PartitionMap(0, 1, 1)

    @property
    def current(self) -> PartitionMap:
        """The map; version 0 until the first one was fetched."""
        return self._current

    @current.setter
    def current(self, new: PartitionMap) -> None:
        self._current = new
        self._tables.clear()
        self._homes.clear()

    async def refresh(self) -> PartitionMap:
        """Fetch the map. Raises UnavailableError while the directory is away."""
        fetched = await self._directory.partition_map()
        if fetched.version >= self._current.version:
            self.current = fetched
        return self._current

    def table(self, tenant: TenantId) -> list[int]:
        """Return the shard of each of the tenant's partitions."""
        found = self._tables.get(tenant)
        if found is None:
            found = self._tables[tenant] = self._current.table(tenant)
        return found

    def homes(self, tenant: TenantId) -> NDArray[np.int64]:
        """Return :meth:`table` as an array, for kernels."""
        found = self._homes.get(tenant)
        if found is None:
            found = self._homes[tenant] = np.array(self.table(tenant), np.int64)
        return found
