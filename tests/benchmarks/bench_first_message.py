"""`whisperer up --demo` from an empty folder: seconds to the first decision, message and interval of the lift."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from cluster.demo import campaign as demo_campaign
from cluster.settings import load as load_settings
from tests.benchmarks import report
from tests.benchmarks.bench_start import memory
from tests.support.stand import Stand

LOOK_EVERY_S = 0.25


def main() -> None:
    parser = report.arguments(__doc__)
    parser.add_argument("--within-s", type=float, default=600.0, help="give up after this time")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stand = Stand(Path(folder) / "data")
        tenant = load_settings(Path(folder)).demo.tenant
        try:
            figures = measure(stand, tenant, options.within_s)
            figures["memory"] = memory(stand)
        finally:
            stand.down()
    report.publish(
        "first_message", figures, options.json, demo=f"{demo_campaign.NAME}, window {demo_campaign.WINDOW_S} s"
    )


def measure(stand: Stand, tenant: str, within_s: float) -> dict[str, Any]:
    campaign = f"/internal/tenants/{tenant}/campaigns/{demo_campaign.NAME}"
    steps: dict[str, Callable[[httpx.Client], bool]] = {
        "first_decision_s": lambda http: _decided(http.get(campaign).json()["counts"]),
        "first_message_s": lambda http: bool(http.get(f"/internal/tenants/{tenant}/sink/messages").json()["data"]),
        "first_interval_s": lambda http: "low" in http.get(f"{campaign}/report").json()["lift"],
    }
    figures: dict[str, Any] = {}
    began = time.monotonic()

    def start() -> None:
        stand.up("--demo")
        figures["up_s"] = round(time.monotonic() - began, 1)

    starting = threading.Thread(target=start)
    starting.start()
    while steps and time.monotonic() - began < within_s:
        try:
            with stand.operator() as http:
                while steps and time.monotonic() - began < within_s:
                    name, reached = next(iter(steps.items()))
                    if reached(http):
                        figures[name] = round(time.monotonic() - began, 1)
                        del steps[name]
                    else:
                        time.sleep(LOOK_EVERY_S)
        except (FileNotFoundError, ValueError, KeyError, httpx.HTTPError):  # nothing there that could answer
            time.sleep(LOOK_EVERY_S)
    starting.join()
    with stand.operator() as http:
        figures["report_then"] = _short(http.get(f"{campaign}/report").json())
    return figures


def _decided(counted: dict[str, Any]) -> bool:
    return bool(counted["sent"] + counted["no_send"])


def _short(document: dict[str, Any]) -> dict[str, Any]:
    kept = ("candidates", "sent", "no_send", "refused", "pending", "conversions", "groups", "lift", "uniform_lift")
    return {name: document[name] for name in kept}


if __name__ == "__main__":
    main()
