"""Load from Ray arrives whole: from tasks of a cluster, and through a Ray Client connection."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from cluster.launch import installation
from tests.support.stand import ROOT, Stand, Tenant

pytestmark = pytest.mark.cluster

N_TASKS, N_BATCHES, SIZE = 3, 4, 50
N_EVENTS = N_TASKS * N_BATCHES * SIZE


def _load(stand: Stand, tenant: Tenant, program: str, address: str) -> dict[str, object]:
    """Run a load program as a user would, in the environment that lets it into the installation's own Ray."""
    record = installation.load(stand.data_dir)
    options = {"url": stand.url, "key": tenant.write_key, "ray-address": address, "cpus": 0.05}
    options |= {"tasks": N_TASKS, "batches": N_BATCHES, "size": SIZE, "users": 20}
    done = subprocess.run(
        [sys.executable, "-m", f"tests.load.{program}", *(f"--{name}={value}" for name, value in options.items())],
        cwd=ROOT,
        env=os.environ | record.client_environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    told: dict[str, object] = json.loads(done.stdout[done.stdout.index("{") :])
    return told


def test_what_ray_tasks_send_is_counted_once(stand: Stand, tenant: Tenant) -> None:
    address = installation.load(stand.data_dir).ray_address
    told = _load(stand, tenant, "from_tasks", address)
    assert told["acknowledged"] == N_EVENTS
    assert tenant.counts()["events_accepted"] == N_EVENTS
    assert tenant.counts()["users"] == 20


def test_what_a_ray_client_sends_is_counted_once(stand: Stand, tenant: Tenant) -> None:
    ports, _ = installation.load(stand.data_dir).configured()
    told = _load(stand, tenant, "from_client", f"ray://127.0.0.1:{ports.ray_client}")
    assert told["acknowledged"] == N_EVENTS
    assert tenant.counts()["events_accepted"] == N_EVENTS
