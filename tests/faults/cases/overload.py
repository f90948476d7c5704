"""Ten times the clients that reach the peak, for 60 s; refused, they wait as Retry-After says."""

from __future__ import annotations

from tests.faults.cases import FaultResult, Options
from tests.faults.overload import overload

OWN_INSTALLATION = True


def run(options: Options) -> FaultResult:
    return overload(options, impatient=False)
