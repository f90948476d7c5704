"""The warehouse of events and decisions. See :mod:`actors.warehouse.store`."""

from __future__ import annotations

from actors.warehouse.datasets import DATASETS
from actors.warehouse.logs import LogRecord
from actors.warehouse.reader import Audit, StoredEvent
from actors.warehouse.rows import SCHEMA, ExportRecord
from actors.warehouse.store import Exported, Warehouse

__all__ = ["DATASETS", "SCHEMA", "Audit", "ExportRecord", "Exported", "LogRecord", "StoredEvent", "Warehouse"]
