"""`whisperer bench faults`: what it knows, what its page says, and its quickest faults for real."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from typing import Any

import pytest

from tests.faults.cases import Options, known
from tests.faults.stands import Stands
from tests.support.stand import ROOT, Stand

PAGE = ROOT / "docs" / "faults.md"


def test_every_fault_says_what_it_does_and_can_be_run() -> None:
    for fault in known().values():
        module = import_module(f"tests.faults.cases.{fault.name}")
        assert fault.says, fault.name
        assert list(inspect.signature(module.run).parameters) == ["options"], fault.name
        assert fault.own_installation == getattr(module, "OWN_INSTALLATION", False), fault.name


def test_those_that_share_an_installation_come_before_those_that_do_not() -> None:
    own = [fault.own_installation for fault in known().values()]
    assert own == sorted(own)
    assert 0 < sum(own) < len(own)


def test_the_page_tells_of_every_fault_and_of_no_other() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", PAGE.read_text("utf-8"), re.MULTILINE))
    assert told == set(known())


class TheSession(Stands):
    """The installation of the test session, whatever is asked for."""

    def __init__(self, stand: Stand) -> None:
        super().__init__()
        self._session = stand

    def get(self, *, shards: int = 2, settings: dict[str, Any] | None = None) -> Stand:
        assert settings is None
        return self._session


@pytest.mark.cluster
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name", ["client_timeouts", "controller_killed", "gateway_killed", "haproxy_killed", "shard_twice"]
)
def test_nothing_acknowledged_is_lost_or_doubled(stand: Stand, name: str) -> None:
    result = known()[name].run(Options(TheSession(stand), seconds=2.0, rounds=1, with_warehouse=False, mixed=False))
    assert (result.lost, result.doubled) == (0, 0), result
    assert result.acknowledged > 1_000
    assert result.figures["problems"] == []
