"""State what a call to the API costs: the tokens that it takes from its key's and its tenant's rate of calls.

One token is a small read or write. What reads much history or occupies a process takes more, so that a tenant's budget
is a budget of work, not of requests.
"""

from __future__ import annotations

from whisperer.access.permissions import Permission

ONE = 1
COSTS: dict[Permission, int] = {
    Permission.DECISIONS_READ: 2,
    Permission.USERS_EXPORT: 10,
    Permission.EXPORTS_WRITE: 10,
    Permission.USERS_ERASE: 5,
    Permission.REPORTS_READ: 5,
    Permission.SIMULATIONS_RUN: 50,
    Permission.SEGMENTS_PUBLISH: 5,
    Permission.CAMPAIGNS_PUBLISH: 5,
    Permission.TEMPLATES_PUBLISH: 5,
    Permission.CATALOGUES_WRITE: 5,
    Permission.COUPONS_WRITE: 5,
}


def cost_of(permission: Permission) -> int:
    """Return the tokens that a call with this permission takes."""
    return COSTS.get(permission, ONE)
