from __future__ import annotations

from tests.unit.serve_apps.gateway.conftest import acme, empty_database, world

__all__ = ["acme", "empty_database", "world"]
