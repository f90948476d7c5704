"""Name the groups that a campaign's users are divided into at random."""

from __future__ import annotations

HOLDOUT, UNIFORM, POLICY = "holdout", "uniform", "policy"
GROUPS = (HOLDOUT, UNIFORM, POLICY)
