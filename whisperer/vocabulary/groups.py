"""Name the groups that a campaign's users are divided into at random."""

from __future__ import annotations

from whisperer.vocabulary.named import Named


class Group(Named):
    """Name a group of an experiment."""

    HOLDOUT = "holdout"
    UNIFORM = "uniform"
    POLICY = "policy"


GROUPS = tuple(Group)
