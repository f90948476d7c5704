"""The shard's kernels made ready: compiled, or loaded from disk, before the first event needs them.

Compiling takes half a minute on a core, once an installation; loading a second.
"""

from __future__ import annotations

import numpy as np

from whisperer.profiles import warm as profiles
from whisperer.shard.dedup import Dedup
from whisperer.shard.turns import last_of, number, turns


def warm() -> None:
    profiles.warm()
    partition = np.zeros(2, np.uint16)
    Dedup(max_ids=100).admit("", partition, np.zeros((2, 2), np.uint64), 0)
    number(np.zeros(1, np.int64), partition)
    turns(np.zeros(2, np.int64), np.ones(2, np.bool_), 1)
    last_of(np.zeros(2, np.int64))
