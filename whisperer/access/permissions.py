"""Name everything that a caller may be allowed to do: the one list that routes, roles and keys use.

A permission is ``resource:action``. `read` shows, `write` changes drafts and settings, `publish` changes what users
receive from now on. :data:`PERSONAL` are the permissions under which a person sees data about people: each such read by
a person is entered in the audit log.
"""

from __future__ import annotations

from collections.abc import Iterable

from whisperer.errors import Problem, ProblemsError
from whisperer.vocabulary.named import Named


class Permission(Named):
    EVENTS_WRITE = "events:write"
    USERS_READ = "users:read"
    USERS_WRITE = "users:write"
    USERS_EXPORT = "users:export"
    USERS_ERASE = "users:erase"
    DECISIONS_READ = "decisions:read"
    DECISIONS_ASK = "decisions:ask"
    MESSAGES_READ = "messages:read"
    MESSAGES_WRITE = "messages:write"
    """Send dead letters again."""
    SEGMENTS_READ = "segments:read"
    SEGMENTS_WRITE = "segments:write"
    SEGMENTS_PUBLISH = "segments:publish"
    TEMPLATES_READ = "templates:read"
    TEMPLATES_WRITE = "templates:write"
    TEMPLATES_PUBLISH = "templates:publish"
    CAMPAIGNS_READ = "campaigns:read"
    CAMPAIGNS_WRITE = "campaigns:write"
    CAMPAIGNS_PUBLISH = "campaigns:publish"
    SIMULATIONS_READ = "simulations:read"
    SIMULATIONS_RUN = "simulations:run"
    POLICIES_READ = "policies:read"
    POLICIES_WRITE = "policies:write"
    POLICIES_PUBLISH = "policies:publish"
    REPORTS_READ = "reports:read"
    REPORTS_WRITE = "reports:write"
    CATALOGUES_READ = "catalogues:read"
    CATALOGUES_WRITE = "catalogues:write"
    COUPONS_READ = "coupons:read"
    """Pools and their counts; who got which code needs `users:read`."""
    COUPONS_WRITE = "coupons:write"
    CHANNELS_READ = "channels:read"
    CHANNELS_WRITE = "channels:write"
    EXPERIMENT_READ = "experiment:read"
    EXPERIMENT_WRITE = "experiment:write"
    SETTINGS_READ = "settings:read"
    SETTINGS_WRITE = "settings:write"
    KEYS_READ = "keys:read"
    KEYS_WRITE = "keys:write"
    MEMBERS_READ = "members:read"
    MEMBERS_WRITE = "members:write"
    OWNERS_WRITE = "owners:write"
    """Make and unmake owners; whoever may only manage members cannot raise themselves to owner."""
    ISSUERS_READ = "issuers:read"
    ISSUERS_WRITE = "issuers:write"
    ENVIRONMENTS_READ = "environments:read"
    ENVIRONMENTS_WRITE = "environments:write"
    REVIEWS_READ = "reviews:read"
    REVIEWS_WRITE = "reviews:write"
    """Approve or reject what somebody else submitted."""
    AUDIT_READ = "audit:read"
    EXPORTS_READ = "exports:read"
    EXPORTS_WRITE = "exports:write"
    """Begin and delete exports; what one contains needs its own permission as well."""


Permissions = frozenset[Permission]

EVERYTHING: Permissions = frozenset(Permission)

PERSONAL: Permissions = frozenset(
    {
        Permission.USERS_READ,
        Permission.USERS_EXPORT,
        Permission.DECISIONS_READ,
        Permission.MESSAGES_READ,
    }
)
"""Under these a caller sees data about people."""

OF_WRITE_KEYS: Permissions = frozenset({Permission.EVENTS_WRITE})

PEOPLES: Permissions = frozenset(
    {
        Permission.KEYS_WRITE,
        Permission.MEMBERS_WRITE,
        Permission.OWNERS_WRITE,
        Permission.ISSUERS_WRITE,
        Permission.ENVIRONMENTS_WRITE,
        Permission.SETTINGS_WRITE,
        Permission.REVIEWS_WRITE,
    }
)
"""Decides who else may do what. No key has these unless its scopes name them; approvals no key has at all."""

OF_SECRET_KEYS: Permissions = EVERYTHING - PEOPLES - OF_WRITE_KEYS
"""What a secret key without scopes may do."""

SCOPES: Permissions = EVERYTHING - OF_WRITE_KEYS - {Permission.REVIEWS_WRITE, Permission.OWNERS_WRITE}
"""What a secret key's scopes may name."""


class PermissionsError(ProblemsError):
    """A list of permissions is invalid."""

    subject = "list of permissions"
    code = "invalid_permissions"


def parsed(named: Iterable[object], allowed: Permissions = EVERYTHING, at: str = "") -> Permissions:
    """Return the permissions of a list of texts, each a permission, or ``resource:*`` for all of a resource.

    Raises PermissionsError with a JSON Pointer below ``at`` for each that is unknown or not in ``allowed``.
    """
    found: set[Permission] = set()
    problems: list[Problem] = []
    for place, name in enumerate(named):
        resource, _, action = name.partition(":") if isinstance(name, str) else ("", "", "")
        meant = {one for one in allowed if one == name or (action == "*" and one.startswith(f"{resource}:"))}
        if not meant:
            shown = name[:80] if isinstance(name, str) else type(name).__name__
            known = ", ".join(sorted(allowed))
            problems.append(
                Problem(
                    pointer=f"{at}/{place}",
                    code="unknown_permission",
                    message=f"{shown!r} is not a permission that can be given here; these can: {known}",
                )
            )
        found |= meant
    if problems:
        raise PermissionsError(problems)
    return frozenset(found)
