"""The warehouse of events. See :mod:`actors.warehouse.store`."""

from __future__ import annotations

from actors.warehouse.reader import StoredEvent
from actors.warehouse.rows import SCHEMA, ExportRecord
from actors.warehouse.store import Exported, Warehouse

__all__ = ["SCHEMA", "ExportRecord", "Exported", "StoredEvent", "Warehouse"]
