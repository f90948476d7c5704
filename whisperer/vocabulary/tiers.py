"""Name the tiers that a tenant may be in; their limits are settings."""

from __future__ import annotations

from whisperer.vocabulary.named import Named


class Tier(Named):
    FREE = "free"
    PRO = "pro"
    ENTERPRISE = "enterprise"
