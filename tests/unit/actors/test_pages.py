"""Memory shared by a fork comes back in bulk, unchanged."""

from __future__ import annotations

import resource
import sys

import numpy as np
import pytest

from actors import pages
from actors.forked import Forked, ForkError
from tests.unit.actors.test_forked import pause
from tests.unit.shard.world import World, event
from whisperer.shard import snapshot

N_PAGES = 4_096


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(sys.platform != "linux", reason="MADV_POPULATE_WRITE is Linux's")
async def test_pages_taken_back_cost_no_fault_when_they_are_written_to() -> None:
    state = np.ones(N_PAGES * 4_096, np.uint8)
    child = Forked.start(pause)
    asked = pages.own([(state.ctypes.data, state.nbytes)])
    before = faults()
    state[::4_096] = 2
    n_faults = faults() - before
    with pytest.raises(ForkError):
        await child.wait(0.0)
    if not asked:
        pytest.skip("this kernel is older than Linux 5.14")
    assert asked >= state.nbytes - 4_096
    assert n_faults < N_PAGES // 4
    assert int(state.sum()) == N_PAGES * 4_097


def test_regions_that_are_gone_or_small_do_no_harm() -> None:
    small = np.zeros(100, np.uint8)
    assert pages.own([(small.ctypes.data, small.nbytes)]) == 0
    assert pages.own([(1 << 46, 4 << 20)]) == 0


def test_a_shard_names_its_memory_without_holding_it() -> None:
    world = World(n=1)
    world.send(*(event(f"u{n}", id=f"m{n}") for n in range(50)))
    shard = world.shards[0]
    found = snapshot.regions(shard)
    (tenant,) = shard.tenants.values()
    table = tenant.people.table
    assert (table.records.ctypes.data, table.records[: table.n].nbytes) in found
    assert sum(length for _, length in found) > 50 * 200
    world.send(*(event(f"v{n}", id=f"n{n}") for n in range(5_000)))  # arrays grow and move as if nobody had asked
    assert snapshot.regions(shard) != found
