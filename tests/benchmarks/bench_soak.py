"""An hour of everything at once at half the peak: accounts that add up, memory that stays, nothing left behind.

The peak is taken first, by as many clients as are served, for a tenth of the time (a minute at most). Then half of that
streams in, and beside it a second tenant's users are counted one by one, a third's are written to, partitions move,
processes are killed, users are exported and erased, files imported. Afterwards every account is compared with what the
clients were told. Exit code 1 when one does not add up.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from tests.benchmarks import report
from tests.benchmarks.soak import Chore
from tests.benchmarks.soak.erasures import Erasures
from tests.benchmarks.soak.exports import Exports
from tests.benchmarks.soak.imports import Imports
from tests.benchmarks.soak.kills import Kills
from tests.benchmarks.soak.leftovers import files, warnings
from tests.benchmarks.soak.memory import Memory
from tests.benchmarks.soak.moves import Moves
from tests.faults import flood
from tests.faults.counted_load import CountedLoad, Pace
from tests.faults.judging import judge, judge_requests
from tests.faults.triggers import Triggers, account
from tests.support.campaigning import launch, people
from tests.support.stand import Stand, Tenant, running

CAMPAIGN, EVENT = "welcome", "Joined"
CONNECTIONS = 16
PIECE_S = 60.0
"""The stream is sent in pieces, each a process of its own: its account goes to a file."""
SETTINGS = {"SNAPSHOTS_INTERVAL_S": 120, "WAREHOUSE_FLUSH_INTERVAL_S": 20}


def main() -> int:
    parser = report.arguments(__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--share", type=float, default=0.5, help="of the peak that streams in (default: 0.5)")
    parser.add_argument("--most-events-per-s", type=float, default=float("inf"), help="bounds what is written to disk")
    parser.add_argument("--triggers-per-s", type=float, default=20.0)
    options = parser.parse_args()
    seconds = options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        folder = Path(name)
        (folder / "requests").mkdir()
        with running(folder / "data", settings=SETTINGS) as stand:
            figures = soak(stand, folder / "requests", seconds, options)
        figures["left_behind"] = files(folder / "data")
    report.publish(
        "soak",
        figures,
        options.json,
        durability="fdatasync before 2xx, file journal",
        shards=2,
        minutes=options.minutes,
        payload=f"stream: batches of {flood.BATCH} events, {len(flood.template('x')) // flood.BATCH} bytes each",
    )
    return int(bool(figures["wrong"]))


def soak(stand: Stand, folder: Path, seconds: float, options: Any) -> dict[str, Any]:
    volume, counted, written, others = (stand.tenant(name) for name in ("volume", "counted", "written", "others"))
    launch(written, CAMPAIGN, {"event": EVENT}, window_s=86_400)
    names = [name for first in range(0, 1_000, 100) for name in people(written, 100, f"user-{first}")]
    peak = flood.flood(volume, folder, prefix="peak", connections=CONNECTIONS, seconds=min(60.0, seconds / 10))
    rate = min(peak.events_per_s * options.share, options.most_events_per_s)
    say(f"peak {peak.events_per_s:,.0f} events/s; streaming {rate:,.0f}/s for {seconds / 60:g} minutes")

    load = CountedLoad(counted, Pace(batches_per_s=4, batch=50, singles_per_s=10, clients=4))
    memory = Memory(stand)
    chores: list[Chore] = [
        memory,
        Moves(stand, [volume, counted, written, others]),
        Kills(stand),
        Exports(counted, 300),
        Erasures(others),
        Imports(stand, others, folder),
    ]
    told: dict[str, flood.Told] = {"peak": peak}
    with Triggers(written, EVENT, names, options.triggers_per_s) as triggers, load, contextlib.ExitStack() as stack:
        for chore in chores:
            stack.enter_context(chore)
        stream(volume, folder, rate, seconds, told)
    say("traffic has ended; accounts are compared")
    for chore in chores:
        chore.finish()
    report.interim({chore.name: chore.figures() for chore in chores}, options.json)  # an hour's work is not lost below
    verdict = judge(stand, counted, load)
    loop = account(written, CAMPAIGN, triggers.n_acknowledged)
    found = warnings(stand)
    streamed = judge_requests(stand, volume, told)
    wrong = [f"{chore.name}: {problem}" for chore in chores for problem in chore.problems]
    wrong += [f"counted: {problem}" for problem in verdict.problems]
    wrong += [f"{what}: {n} lost" for what, n in (("counted", verdict.lost), ("stream", streamed.lost)) if n]
    wrong += [f"{what}: {n} doubled" for what, n in (("counted", verdict.doubled), ("stream", streamed.doubled)) if n]
    wrong += [f"campaign: {loop[kind]} {kind}" for kind in ("lost", "doubled", "unsent", "unexplained") if loop[kind]]
    wrong += [f"a warning nobody can explain ({n} times): {said}" for said, n in found["unexplained"].items()]
    return {
        "peak_events_per_s": round(peak.events_per_s),
        "streamed_events_per_s": round(rate),
        "stream": streamed.figures | {"lost": streamed.lost, "doubled": streamed.doubled},
        "counted": {"acknowledged": verdict.acknowledged, "lost": verdict.lost, "doubled": verdict.doubled, **verdict.figures, **load.figures()},
        "campaign": {"triggers": triggers.n_acknowledged, **loop},
        **{chore.name: chore.figures() for chore in chores},
        "warnings": found,
        "wrong": wrong,
    }  # fmt: skip


def stream(tenant: Tenant, folder: Path, rate: float, seconds: float, told: dict[str, flood.Told]) -> None:
    """Pieces one after the other until the time is over, with a line of progress each."""
    began = time.monotonic()
    while (left := seconds - (time.monotonic() - began)) > 1:
        prefix = f"p{len(told)}"
        piece = flood.flood(
            tenant, folder, prefix=prefix, connections=CONNECTIONS, seconds=min(PIECE_S, left), events_per_s=rate
        )
        told[prefix] = piece
        done = (time.monotonic() - began) / 60
        say(
            f"{done:5.1f} min: {piece.events_per_s:,.0f} events/s acknowledged, p99 {piece.p99_ms:.0f} ms, {piece.statuses}"
        )


def say(what: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    threading.excepthook = lambda args: sys.__excepthook__(args.exc_type, args.exc_value, args.exc_traceback)  # type: ignore[arg-type]
    sys.exit(main())
