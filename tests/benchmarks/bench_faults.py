"""Every fault for real, under load: acknowledged, lost, doubled, and the time until it serves again.

`--list` names them, `--only NAME` (again for more) runs some. What is injected and promised is in docs/faults.md.
"""

from __future__ import annotations

import sys
import time
import traceback
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from cluster.cli import output
from tests.benchmarks import report
from tests.faults.cases import CannotRunError, Fault, FaultResult, Options, known
from tests.faults.stands import Stands


def main() -> int:
    parser = report.arguments(__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="run this fault; may be repeated")
    parser.add_argument("--list", action="store_true", help="name the faults and leave")
    parser.add_argument("--seconds", type=float, default=5.0, help="of load before each strike")
    parser.add_argument("--rounds", type=int, default=3, help="strikes in a row, where a fault can be repeated")
    arguments = parser.parse_args()
    faults = known()
    unknown = [name for name in arguments.only if name not in faults]
    if unknown:
        parser.error(f"there is no fault {unknown[0]!r}; known: {', '.join(faults)}")
    if arguments.list:
        output.print_table(("fault", "what is done"), [(f.name, f.says) for f in faults.values()], "No faults.")
        return 0
    wanted = [faults[name] for name in arguments.only] or list(faults.values())
    lines: list[tuple[Fault, FaultResult | str]] = []
    with Stands() as stands:
        options = Options(stands, arguments.seconds, arguments.rounds)
        for number, fault in enumerate(wanted, start=1):
            print(f"{number}/{len(wanted)} {fault.name}: {fault.says}", file=sys.stderr, flush=True)
            began = time.monotonic()
            lines.append((fault, _tried(fault, options, stands)))
            print(f"  {' | '.join(_line(*lines[-1]))} | {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    output.print_table(
        ("fault", "acknowledged", "lost", "doubled", "serves again", "note"), [_line(*line) for line in lines], ""
    )
    report.publish(
        "faults",
        {fault.name: _figures(result) for fault, result in lines},
        arguments.json,
        durability="acknowledged after fdatasync unless the fault says otherwise",
        load="20 batches/s of 100 events and 20 single events/s, 8 clients that send again what failed, 300 users",
        judged_by="shards, user by user, and DuckDB over the warehouse, messageId by messageId",
    )
    return int(any(_is_bad(result) for _, result in lines))


def _tried(fault: Fault, options: Options, stands: Stands) -> FaultResult | str:
    """Its result, or in words why there is none: one fault that fails must not hide the others."""
    try:
        return fault.run(options)
    except CannotRunError as reason:
        return f"not run: {reason}"
    except Exception as error:
        traceback.print_exc()
        with suppress(AssertionError):  # an installation that cannot even be stopped must not hide the others either
            stands.end()
        said = (str(error).strip() or type(error).__name__).splitlines()
        return f"FAILED: {said[0][:200]}{' ... ' + said[-1][:200] if len(said) > 1 else ''}"


def _is_bad(result: FaultResult | str) -> bool:
    return result.startswith("FAILED") if isinstance(result, str) else bool(result.lost or result.doubled)


def _line(fault: Fault, result: FaultResult | str) -> tuple[str, ...]:
    if isinstance(result, str):
        return fault.name, "", "", "", "", result
    back = "-" if result.back_after_s is None else f"{result.back_after_s:.1f} s"
    return fault.name, f"{result.acknowledged:,}", str(result.lost), str(result.doubled), back, result.note


def _figures(result: FaultResult | str) -> dict[str, Any]:
    return {"note": result} if isinstance(result, str) else asdict(result)


if __name__ == "__main__":
    sys.exit(main())
