"""docs/access.md says of permissions, roles and limits what the code has."""

from __future__ import annotations

import re

from cluster.control_plane import api_keys, key_limits
from cluster.control_plane.people import invitations, members, roles
from cluster.control_plane.tenancy import environments, saved_reports, tenant_settings, user_secrets
from serve_apps.gateway.services import saved_reports as questions
from tests.unit.docs.naming import ROOT
from whisperer.access.permissions import OF_SECRET_KEYS, SCOPES, Permission
from whisperer.access.roles import BUILT_IN, Role
from whisperer.access.user_tokens import MAX_LIFETIME_S
from whisperer.vocabulary.units import DAY_MS

PAGE = (ROOT / "docs" / "access.md").read_text()
CAMPAIGNS = (ROOT / "docs" / "campaigns.md").read_text()


def test_the_table_of_roles_is_that_of_the_code() -> None:
    heads, *rows = (line for line in PAGE.splitlines() if line.startswith(("| permission |", "| `")) and "`" in line)
    assert re.findall(r"`(\w+)`", heads) == list(Role)
    table = {}
    for row in rows:
        name, *cells = (cell.strip() for cell in row.strip("|").split("|"))
        if len(cells) == len(Role) + 1:
            table[name.strip("`")] = cells
    assert list(table) == list(Permission)
    for permission in Permission:
        *of_roles, of_keys = table[permission]
        assert of_roles == ["yes" if permission in BUILT_IN[role] else "" for role in Role], permission
        by_scope = "by scope" if permission in SCOPES else ""
        assert of_keys == ("yes" if permission in OF_SECRET_KEYS else by_scope), permission


def test_the_limits_are_those_of_the_code() -> None:
    for told in (
        f"at most {key_limits.MAX_NETWORKS}: from anywhere else",
        f"at\n  most {api_keys.MAX_OVERLAP_MS // DAY_MS} days",
        f"at most {api_keys.MAX_KEYS:,} active keys",
        f"the newest {api_keys.MAX_KEPT:,} are listed",
        f"at most {roles.MAX_ROLES} of its own",
        f"for {invitations.GOOD_FOR_MS // DAY_MS} days, or 1 to {invitations.MAX_GOOD_FOR_MS // DAY_MS} as told",
        f"The newest {invitations.MAX_KEPT:,} are listed",
        f"at most {members.MAX_MEMBERS:,} members and open invitations",
        f"at most {environments.MAX_ENVIRONMENTS} environments besides",
        f"without cookies; at most {tenant_settings.MAX_ORIGINS}.",
        f"1 minute to {MAX_LIFETIME_S // 86_400} days as told",
        f"at most {user_secrets.MAX_OVERLAP_MS // DAY_MS}\n  days; 0 ends",
    ):
        assert told in PAGE, told
    assert f"up to {questions.MAX_CAMPAIGNS} campaigns" in CAMPAIGNS
    assert f'"last_days": 1-{questions.MAX_DAYS}' in CAMPAIGNS
    assert f"tenant has at most {saved_reports.MAX_REPORTS} (409" in CAMPAIGNS
