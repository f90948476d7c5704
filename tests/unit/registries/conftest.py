from __future__ import annotations

from tests.unit.serve_apps.gateway.conftest import acme, world

__all__ = ["acme", "world"]
