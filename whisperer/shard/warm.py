"""Prepare the shard's kernels: compile them, or load them from disk, before the first event needs them.

Compiling takes half a minute on one core, once per installation; loading takes a second.
"""

from __future__ import annotations

import numpy as np

from whisperer.ids import TenantId
from whisperer.profiles import warm as profiles
from whisperer.shard import listing
from whisperer.shard.arrival.turns import number, turns
from whisperer.shard.state.dedup import Dedup


def warm() -> None:
    """Call every kernel once, those of profiles included."""
    profiles.warm()
    listing.warm()
    partition = np.zeros(2, np.uint16)
    Dedup(max_ids=100).admit(TenantId(""), partition, np.zeros((2, 2), np.uint64), 0)
    number(np.zeros(1, np.int64), partition)
    turns(np.zeros(2, np.int64), np.ones(2, np.bool_), 1)
