"""Decides what one caller may give to others: never a permission that they do not have themselves.

Whoever makes a key, defines a role, invites somebody or changes a member's role is a :class:`Giver`. Nobody changes or
removes a role or a member that is above their own, either. To revoke a key or an invitation takes no more than the
permission: what is lost must be ended quickly.
"""

from __future__ import annotations

from dataclasses import dataclass

from whisperer.access.permissions import EVERYTHING, Permissions
from whisperer.errors import ForbiddenError

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Giver:
    """Who gives, with their permissions; and the id, if it is a key: what it makes ends no later and reaches no
    further.
    """

    permissions: Permissions = EVERYTHING
    key_id: str = ""

    def check(self, permissions: Permissions, what: str) -> None:
        """Raise ForbiddenError (`escalation`) unless the giver has all of these permissions."""
        missing = sorted(permissions - self.permissions)
        if missing:
            named = ", ".join(missing[:_SHOWN]) + (
                f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            )
            raise ForbiddenError(f"{what} takes permissions that you do not have: {named}", code="escalation")


OPERATOR = Giver()
"""Whoever runs the installation may give everything."""
