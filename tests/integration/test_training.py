"""A training run on a Ray of its own, the same run with its trial's process and its driver killed, and one as a job."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from cluster.launch import installation
from tests.support.stand import Stand
from tests.unit.training.making_rows import churn_table, written
from whisperer.models.loading import load

LONGEST_S = 120
TRIALS = 2


class Run:
    """``python -m training.train`` with what it says, and all processes below it."""

    def __init__(self, rows: str, out: Path) -> None:
        command = [
            sys.executable, "-m", "training.train", "--kind", "churn", "--rows", rows, "--out", str(out), "--local",
            "--trials", str(TRIALS), "--at-once", "1", "--rounds", "48", "--stride", "4", "--json",
        ]  # fmt: skip
        self.out, self.said = out, out.parent / f"{out.name}-{time.monotonic_ns()}.err"
        with self.said.open("wb") as errors:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        self.seen: dict[int, psutil.Process] = {}

    def result(self) -> dict[str, Any]:
        told, _ = self.process.communicate(timeout=LONGEST_S)
        assert self.process.returncode == 0, self.said.read_text()
        found: dict[str, Any] = json.loads(told)
        return found

    def below(self) -> list[psutil.Process]:
        try:
            found = psutil.Process(self.process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            found = []
        self.seen |= {one.pid: one for one in found}
        return found

    def wait_for(self, there: Callable[[], bool]) -> None:
        ended = time.monotonic() + LONGEST_S
        while not there():
            assert time.monotonic() < ended, self.said.read_text()
            assert self.process.poll() is None, self.said.read_text()
            threading.Event().wait(0.02)

    def trial_process(self) -> psutil.Process | None:
        for one in self.below():
            try:
                if "ray::ImplicitFunc" in one.cmdline()[0]:
                    return one
            except (psutil.Error, IndexError):
                continue
        return None

    def strides(self) -> int:
        """Checkpoints that the search has kept so far."""
        numbers = [int(path.name.rpartition("_")[2]) for path in self.out.glob("search/*/checkpoint_*")]
        return max(numbers, default=-1) + 1

    def end(self) -> None:
        self.below()
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        for one in self.seen.values():
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[[str], Run]]:
    rows, runs = written(churn_table(2_000), tmp_path), list[Run]()

    def start(name: str) -> Run:
        runs.append(Run(rows, tmp_path / name))
        return runs[-1]

    yield start
    for run in runs:
        run.end()


def curves(result: dict[str, Any]) -> list[dict[int, float]]:
    """Held-out loss by rounds of each trial."""
    return [{step["rounds"]: step["held"] for step in trial["steps"]} for trial in result["trials"]]


def test_a_run_whose_trial_and_driver_are_killed_comes_to_what_an_undisturbed_one_does(
    started: Callable[[str], Run],
) -> None:
    calm = started("calm").result()
    assert len(calm["trials"]) == TRIALS
    disturbed = started("disturbed")
    disturbed.wait_for(lambda: disturbed.strides() >= 2)
    victim = disturbed.trial_process()
    assert victim is not None
    victim.send_signal(signal.SIGKILL)
    disturbed.wait_for(lambda: "died and goes on from its checkpoint" in disturbed.said.read_text())
    again = disturbed.strides()
    disturbed.wait_for(lambda: disturbed.strides() > again + 1)
    disturbed.below()
    os.kill(disturbed.process.pid, signal.SIGKILL)
    disturbed.process.wait()
    # What it started ends with it; Ray's agents, which do nothing by themselves, take their time.
    left = psutil.wait_procs(list(disturbed.seen.values()), timeout=5)[1]
    assert {one.name() for one in left} <= {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}
    assert not (disturbed.out / "result.json").exists()
    resumed = started("disturbed").result()
    assert [trial["failed"] for trial in resumed["trials"]] == [""] * TRIALS
    assert curves(resumed)[0] == curves(calm)[0]
    assert (resumed["parameters"], resumed["metrics"]) == (calm["parameters"], calm["metrics"])
    ours, theirs = (load(Path(result["model"])).manifest for result in (resumed, calm))
    assert ours.files == theirs.files  # to the last byte
    assert not disturbed.strides(), "checkpoints that nobody goes on with are deleted"
    assert (disturbed.out / "report.html").read_text().startswith("<!doctype html>")


@pytest.mark.cluster
def test_a_run_is_a_job_of_the_installation(stand: Stand, tmp_path: Path) -> None:
    rows, out = written(churn_table(1_000), tmp_path), tmp_path / "out"
    command = ("train", "churn", "--rows", rows, "--out", str(out), "--on", "job")
    stand.run(*command, "--trials", "1", "--rounds", "8", "--stride", "4")
    assert json.loads((out / "result.json").read_text())["kind"] == "churn"
    assert load(out / "model").manifest.kind == "churn"
    record = installation.load(stand.data_dir)
    token = {"Authorization": f"Bearer {Path(record.ray_token_path).read_text().strip()}"}
    jobs = httpx.get(f"{record.dashboard_url}/api/jobs/", headers=token, timeout=60).raise_for_status().json()
    assert ("SUBMISSION", "SUCCEEDED") in [
        (job["type"], job["status"]) for job in jobs if str(out) in job["entrypoint"]
    ]
