"""The same, by clients that send their next batch at once when they are refused."""

from __future__ import annotations

from tests.faults.cases import FaultResult, Options
from tests.faults.overload import overload

OWN_INSTALLATION = True


def run(options: Options) -> FaultResult:
    return overload(options, impatient=True)
