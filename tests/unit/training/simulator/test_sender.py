"""The simulator over HTTP against a real server that refuses, breaks off and comes back."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.unit.cluster.importing.recording_gateway import RecordingGateway
from training.simulator import Population
from training.simulator.cursor import Cursor, CursorStore
from training.simulator.segment import iso
from training.simulator.sender import Sender, SendError
from training.simulator.stream import Life, RatePace

START = "2026-01-05T00:00:00+00:00"
CHECKOUT = Path(__file__).parents[4]


@pytest.fixture
def gateway() -> Iterator[RecordingGateway]:
    with RecordingGateway() as server:
        yield server


class Simulation:
    """A simulation whose clock jumps instead of waiting; ``waits`` holds what it would have waited for."""

    def __init__(self, url: str, folder: Path | None, *, live: bool = False, patience: int = 10**9) -> None:
        self.now = 1_000.0
        self.waits: list[float] = []
        self.patience = patience
        store = CursorStore(folder) if folder else None
        found = store.load() if store else None
        self.cursor = found or Cursor(7, 60, START, "salt" if live else "")
        population, place = Population(7, 60, datetime.fromisoformat(START)), 0
        if store and found:
            population, place = store.load_population(found)
        self.first_place = place
        self.http = httpx.Client(base_url=url, auth=("wk_test", ""))
        self.sender = Sender(
            Life(population, place=place, salt=self.cursor.salt),
            self.cursor,
            http=self.http,
            pace=RatePace(1_000.0, lambda: self.now),
            live=live,
            wait=self._wait,
            store=store,
            wall_ms=lambda: 1_790_000_000_000 + int(self.now * 1000),
        )

    def _wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        self.now += seconds
        return len(self.waits) >= self.patience

    def run(self, n_events: int) -> None:
        with self.http:
            self.sender.run(n_events)


def ids(events: list[dict[str, Any]]) -> list[str]:
    return [event["messageId"] for event in events]


def expected_ids(n_events: int, salt: str = "") -> list[str]:
    life = Life(Population(7, 60, datetime.fromisoformat(START)), salt=salt)
    return [next(life)[1]["messageId"] for _ in range(n_events)]


def test_the_stream_arrives_whole_and_in_order(gateway: RecordingGateway) -> None:
    Simulation(gateway.url, None).run(2_000)
    assert ids(gateway.events) == expected_ids(2_000)
    assert set(gateway.paths) == {"/v1/batch"}


def test_refusals_and_broken_connections_are_tried_again_as_the_server_asks(gateway: RecordingGateway) -> None:
    troubles: dict[int, Any] = {1: (429, {"Retry-After": "7"}), 2: (503, {"Retry-After": "3"}), 4: "drop", 5: (500, {})}
    gateway.trouble = troubles.get
    simulation = Simulation(gateway.url, None)
    simulation.run(2_000)
    assert ids(gateway.events) == expected_ids(2_000)
    assert simulation.sender.sums.n_retries == 4
    assert {7.0, 3.0, 0.5, 1.0} <= set(simulation.waits)


def test_the_rate_is_held(gateway: RecordingGateway) -> None:
    simulation = Simulation(gateway.url, None)
    simulation.run(5_000)
    assert simulation.now - 1_000.0 == pytest.approx(5.0, abs=0.5)


def test_a_wrong_key_ends_the_simulation(gateway: RecordingGateway) -> None:
    gateway.write_key = "wk_other"
    with pytest.raises(SendError, match="write key"):
        Simulation(gateway.url, None).run(10)


def test_a_restarted_simulation_goes_on_where_it_stood(gateway: RecordingGateway, tmp_path: Path) -> None:
    for n_events in (3_000, 500, 2_500):
        simulation = Simulation(gateway.url, tmp_path)
        simulation.run(n_events)
    assert ids(gateway.events) == expected_ids(6_000)
    assert simulation.first_place > 0, "the population was taken from disk, not lived again from the beginning"


@pytest.mark.parametrize("live", [False, True])
def test_a_batch_under_way_in_a_crash_is_sent_again_with_the_same_content(
    gateway: RecordingGateway, tmp_path: Path, live: bool
) -> None:
    Simulation(gateway.url, tmp_path, live=live).run(1_000)
    gateway.trouble = lambda n: "lose_answer"
    Simulation(gateway.url, tmp_path, live=live, patience=3).run(1_000)
    gateway.trouble = lambda n: None
    later = Simulation(gateway.url, tmp_path, live=live)
    later.now += 3_600
    later.run(1_000)
    contents: dict[str, str] = {}
    for event in gateway.events:
        text = json.dumps(event)
        assert contents.setdefault(event["messageId"], text) == text
    assert len(gateway.events) > len(contents), "something was sent twice"
    assert list(contents) == expected_ids(len(contents), "salt" if live else "")


def test_live_times_are_now_and_never_go_back(gateway: RecordingGateway) -> None:
    simulation = Simulation(gateway.url, None, live=True)
    simulation.run(3_000)
    times = [event["timestamp"] for event in gateway.events]
    assert times == sorted(times)
    assert times[0] >= iso(1_790_000_000_000 + 1_000_000 - 5_000)
    assert times[-1] <= iso(1_790_000_000_000 + int(simulation.now * 1000))
    assert len(set(times)) > 1_000, "events are spread over the interval, not heaped at its end"


def command(*arguments: str) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", "training.simulator", "--users", "50", "--rate", "400", *arguments]
    return subprocess.Popen(line, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def installation_of(gateway: RecordingGateway, folder: Path) -> Path:
    path = folder / "installation.json"
    demo = {"tenant": "demo", "tenant_id": "tn_demo", "write_key": "wk_test"}
    path.write_text(json.dumps({"data_dir": str(folder), "url": gateway.url, "demo": demo}))
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_runs_until_it_is_stopped_and_goes_on_when_started_again(
    gateway: RecordingGateway, tmp_path: Path, number: signal.Signals
) -> None:
    path = installation_of(gateway, tmp_path)
    gateway.trouble = lambda n: "hold" if n == 4 else None
    process = command("--installation", str(path))
    assert gateway.held.wait(60)
    process.send_signal(number)
    gateway.release.set()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert "events sent" in out
    assert "stopped at event" in out
    first = len(gateway.events)
    out, err = command("--installation", str(path), "--count", "100").communicate(timeout=60)
    assert len(gateway.events) == first + 100
    assert len(set(ids(gateway.events))) == first + 100, "it went on and repeated nothing"


def test_the_command_says_what_is_missing(tmp_path: Path) -> None:
    for arguments, told in (
        (["--url", "http://127.0.0.1:9"], "--write-key"),
        (["--installation", str(tmp_path)], "installation.json"),
        (["--url", "http://127.0.0.1:9", "--write-key", "wk_x", "--rate", "0"], "--rate"),
    ):
        process = command(*arguments)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2
        assert told in err


def test_another_seed_on_the_same_state_is_refused(gateway: RecordingGateway, tmp_path: Path) -> None:
    where = ["--url", gateway.url, "--write-key", "wk_test", "--state", str(tmp_path), "--count", "10"]
    first = command(*where)
    first.communicate(timeout=60)
    assert first.returncode == 0
    process = command(*where, "--seed", "8")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "--seed 7" in err
