"""Start to ready, idle memory, down and up again: what running it costs before the first event."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from cluster.launch.pids import INSTALLATION_ENV
from tests.benchmarks import report
from tests.support.stand import Stand


def memory(stand: Stand) -> dict[str, Any]:
    """Proportional and unique memory of the installation's processes, MiB, by program."""
    record = json.loads((stand.data_dir / "installation.json").read_bytes())
    found: dict[str, float] = {}
    n = 0
    for process in psutil.process_iter(["name", "cmdline"]):
        try:
            if process.environ().get(INSTALLATION_ENV) != record["id"]:
                continue
            name = (process.info["cmdline"] or [process.info["name"]])[0].split("/")[-1].split(" ")[0][:40]
            found[name] = found.get(name, 0.0) + process.memory_full_info().pss / 2**20
            n += 1
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    largest = dict(sorted(((k, round(v)) for k, v in found.items()), key=lambda item: -item[1])[:10])
    return {"processes": n, "pss_mib": round(sum(found.values())), "largest_mib": largest}


def main() -> None:
    options = report.arguments(__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stand = Stand(Path(folder))
        figures: dict[str, Any] = {}
        try:
            for name in ("first_up_s", "second_up_s"):
                began = time.monotonic()
                stand.up()
                figures[name] = round(time.monotonic() - began, 1)
                if name == "first_up_s":
                    time.sleep(10)
                    figures["idle"] = memory(stand)
                began = time.monotonic()
                stand.down()
                figures["down_s"] = round(time.monotonic() - began, 1)
        finally:
            stand.down()
    report.publish("start", figures, options.json, shards=2)


if __name__ == "__main__":
    main()
