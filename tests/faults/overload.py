"""An overload, for the faults of that name: the peak is measured first, in the same installation, then clients are too many.

Offered is what the generator manages to send beside the server on the same cores.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

import psutil

from tests.faults.cases import FaultResult, Options
from tests.faults.counted_load import Pace
from tests.faults.flood import BATCH, Told, flood
from tests.faults.judging import judge_requests
from tests.faults.killing import GATEWAY, SHARD
from tests.support.stand import Stand

PEAK_CONNECTIONS = 64
TIMES = 10
OVERLOAD_S = 60.0
PEAK_S = 15.0


def overload(options: Options, *, impatient: bool) -> FaultResult:
    """Goodput under 80 % of the peak is a problem only where clients wait as they are told."""
    pace = Pace(batches_per_s=2, singles_per_s=10)
    with options.under_load(pace) as scene, tempfile.TemporaryDirectory() as folder:
        flooding = scene.stand.tenant(f"flood-{scene.tenant.name}")
        arguments = {"tenant": flooding, "folder": Path(folder)}
        flood(**arguments, prefix="warm", connections=PEAK_CONNECTIONS, seconds=3)
        peak = flood(**arguments, prefix="peak", connections=PEAK_CONNECTIONS, seconds=PEAK_S)
        told: list[Told] = []
        watch = _Memory(scene.stand)

        def strike() -> float:
            with watch:
                many = TIMES * PEAK_CONNECTIONS
                told.append(
                    flood(**arguments, prefix="over", connections=many, seconds=OVERLOAD_S, impatient=impatient)
                )
            return time.monotonic()

        scene.strike(strike, timeout_s=300)
    over = told[0]
    verdict = judge_requests(scene.stand, flooding, {"peak": peak, "over": over})
    flooding.close()
    goodput, offered = over.events_per_s / peak.events_per_s, over.offered_per_s / peak.events_per_s
    assert scene.verdict is not None
    scene.verdict.problems.extend(verdict.problems)
    if goodput < 0.8 and not impatient:
        scene.verdict.problems.append("goodput under 80 % of the peak")
    if over.refused_without_retry_after:
        scene.verdict.problems.append(f"{over.refused_without_retry_after} refusals without Retry-After")
    if watch.still_grows():
        scene.verdict.problems.append("memory still grew at the end")
    result = scene.result(
        f"peak {peak.events_per_s:,.0f} events/s; offered {offered:.1f} times that, goodput {goodput:.0%} of it; "
        f"answers {over.statuses}; RSS {watch.before_mib:.0f} -> at most {max(watch.mib):.0f} MiB",
        peak_events_per_s=round(peak.events_per_s),
        goodput=round(goodput, 3),
        offered=round(offered, 2),
        answers=over.statuses,
        p99_ms={"peak": peak.p99_ms, "overload": over.p99_ms},
        rss_mib={"before": round(watch.before_mib), "most": round(max(watch.mib)), "samples": watch.rounded()},
    )
    return FaultResult(
        result.acknowledged + verdict.acknowledged,
        result.lost + verdict.lost,
        result.doubled + verdict.doubled,
        result.back_after_s,
        result.note,
        {**result.figures, "flood": verdict.figures, "events_a_request": BATCH},
    )


class _Memory:
    """Resident memory of gateway and shards together, looked at twice a second inside the block."""

    def __init__(self, stand: Stand) -> None:
        self._processes = [*stand.processes(GATEWAY), *stand.processes(SHARD)]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.mib: list[float] = []
        self.before_mib = self._now()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def still_grows(self) -> bool:
        """Whether the last third of the time needed more than a tenth above what the second third did."""
        third = max(1, len(self.mib) // 3)
        return max(self.mib[-third:]) > 1.1 * max(self.mib[third : 2 * third], default=float("inf"))

    def rounded(self) -> list[int]:
        return [round(mib) for mib in self.mib[:: max(1, len(self.mib) // 30)]]

    def _watch(self) -> None:
        while not self._stop.wait(0.5):
            self.mib.append(self._now())

    def _now(self) -> float:
        total = 0
        for process in self._processes:
            try:
                total += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        return total / 2**20
