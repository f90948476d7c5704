"""kill -9 at each step of a send, for every provider at once: nothing is lost, and nothing is sent twice."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.benchmarks.bench_provider_kills import STEPS, round_, side_of
from tests.support.counting_providers import CHANNELS
from tests.support.stand import Stand

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]


def test_no_provider_gets_a_message_twice_and_none_is_lost_whatever_is_killed(stand: Stand) -> None:
    with ExitStack() as stack:
        sides = [side_of(stand, name, stack) for name in CHANNELS]
        for number, step in enumerate(STEPS):
            round_(stand, sides, step, number, n_users=3)
        stand.settled()
        found = {side.name: side.account() for side in sides}
        for side in sides:
            side.tenant.close()
    assert {name: (one["lost"], one["doubled"]) for name, one in found.items()} == dict.fromkeys(CHANNELS, (0, 0)), (
        found
    )
    assert sum(one["taken"] for one in found.values()) > 5 * len(CHANNELS)
