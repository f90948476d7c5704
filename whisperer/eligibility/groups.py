"""Assign users to the experiment's groups: draw the group once by a hash, keep it, and settle it in a merge.

Guarantees: the draw depends only on key and salt; changing one share moves nobody between the other group and the
policy, as holdout is cut from the lower end of [0, 1) and uniform from the upper; merges end the same in any order.
Leaves the check that shares are sensible to where they are set.
"""

from __future__ import annotations

import hashlib

from whisperer.eligibility.standing import Assignment, Standing
from whisperer.ids import UserKey, is_anonymous
from whisperer.vocabulary.groups import Group


def draw(key: UserKey, salt: str, holdout: float, uniform: float) -> str:
    """Draw a user's group; ``holdout`` and ``uniform`` are the groups' shares of all users.

    >>> draw("u:ada", "salt", holdout=1.0, uniform=0.0), draw("u:ada", "salt", holdout=0.0, uniform=0.0)
    ('holdout', 'policy')
    """
    text = f"{salt}\x1f{key}".encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(text, digest_size=8, person=b"group").digest()
    place = (int.from_bytes(digest, "big") >> 11) / 2**53
    if place < holdout:
        return Group.HOLDOUT
    return Group.UNIFORM if place >= 1.0 - uniform else Group.POLICY


def assigned(standing: Standing, key: UserKey, now: int, salt: str, holdout: float, uniform: float) -> Assignment:
    """Return the user's assignment; the first time, draw it as of ``now`` (ms UTC) and store it in ``standing``."""
    if standing.assignment is None:
        standing.assignment = Assignment(now, key, draw(key, salt, holdout, uniform))
    return standing.assignment


def merged(a: Assignment | None, b: Assignment | None) -> Assignment | None:
    """Choose the assignment of merged users: a known user's before an anonymous one's, then the earlier, then by key.

    If the groups differ, or did in an earlier merge, the user is conflicted: they were treated by two rules.
    """
    if a is None or b is None:
        return b if a is None else a
    kept = min(a, b, key=_rank)
    conflicted = a.conflicted or b.conflicted or a.group != b.group
    return Assignment(kept.at, kept.key, kept.group, conflicted)


def _rank(assignment: Assignment) -> tuple[bool, int, str, str]:
    return is_anonymous(assignment.key), assignment.at, assignment.key, assignment.group
