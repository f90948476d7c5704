"""Limits calls by key and by tenant, as the tenant's tier says, and reports where the caller stands.

A limit is a named rate; all replicas share it (:mod:`.limits`). What a call takes is decided by
:mod:`whisperer.access.costs`. An answer carries RateLimit and RateLimit-Policy of the limits that its call was under
(draft-ietf-httpapi-ratelimit-headers-10).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from starlette.requests import Request

from serve_apps.gateway.http.added import add
from serve_apps.gateway.http.limits import Limits
from serve_apps.gateway.http.principal import Principal
from whisperer.access.costs import cost_of
from whisperer.access.permissions import Permission
from whisperer.errors import TooManyError
from whisperer.settings import Settings, TierSettings
from whisperer.vocabulary.tiers import Tier


class Tiers:
    """The limits of each tier."""

    def __init__(self, default: TierSettings | None = None, named: Mapping[str, TierSettings] | None = None) -> None:
        self._default = default or TierSettings()
        self._named = dict(named or {})

    @classmethod
    def of_settings(cls, settings: Settings) -> Tiers:
        """Return the tiers of an installation."""
        named: dict[str, TierSettings] = {
            Tier.FREE: settings.tier_free,
            Tier.PRO: settings.tier_pro,
            Tier.ENTERPRISE: settings.tier_enterprise,
        }
        return cls(settings.limits, named)

    def of(self, tier: str | None) -> TierSettings:
        """Return the limits of a tier; None, and one that a later release knows, is the installation's default."""
        return self._default if tier is None else self._named.get(tier, self._default)


class Rate(NamedTuple):
    """One limit: what headers call it, the name of its bucket, and its rate in tokens a second; 0: no limit."""

    shown: str
    bucket: str
    per_s: float


async def take(limits: Limits, rates: Iterable[Rate], count: float) -> float | None:
    """Take tokens from every rate; return None if granted, otherwise the seconds until they would be."""
    return await limits.take_all(((rate.bucket, rate.per_s) for rate in rates), count)


def headers(limits: Limits, rates: Iterable[Rate]) -> list[tuple[bytes, bytes]]:
    """Return RateLimit and RateLimit-Policy; nothing where there is no limit."""
    policies, standings = [], []
    for shown, bucket, per_s in rates:
        if per_s > 0:
            found = limits.standing(bucket, per_s)
            policies.append(f'"{shown}";q={found.quota};w={math.ceil(found.quota / per_s)}')
            standings.append(f'"{shown}";r={found.remaining};t={found.reset_s}')
    if not policies:
        return []
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(standings).encode())]


class CallRates:
    """Limits the calls of the API, other than the Tracking API's."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    async def take(self, request: Request, principal: Principal, permission: Permission, tier: TierSettings) -> None:
        """Take what a call costs; its answer will say where the caller stands. Raises TooManyError."""
        rates = (
            Rate("key-calls", f"calls:{principal.id}", tier.key_calls_per_s),
            Rate("calls", f"calls:{principal.tenant_id}", tier.tenant_calls_per_s),
        )
        wait_s = await take(self._limits, rates, cost_of(permission))
        add(request, headers(self._limits, rates))
        if wait_s is not None:
            raise TooManyError(
                f"this call costs {cost_of(permission)}, and more was called in the last seconds than the limit allows",
                code="rate_limited",
                retry_after_s=math.ceil(wait_s),
            )
