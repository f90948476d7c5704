"""kill -9 of an installation's processes, found as `ps` shows them, and how to see that others took their place."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Sequence

import httpx
import psutil

from tests.support.stand import Stand

GATEWAY = "ray::ServeReplica:gateway"
SHARD = "ray::ShardActor"
CONTROLLER = "ray::ServeController"
HAPROXY = "haproxy"


def kill(stand: Stand, title: str) -> None:
    """kill -9 every process of the installation whose command line begins so."""
    _kill(stand.processes(title), title)


def kill_one(stand: Stand, title: str) -> None:
    """kill -9 one of them, the one that has run longest."""
    _kill(sorted(stand.processes(title), key=lambda process: process.create_time())[:1], title)


def kill_programs(stand: Stand, name: str) -> None:
    """kill -9 every process of the installation that runs this program."""
    _kill(_programs(stand, name), name)


def replaced(stand: Stand, title: str) -> Callable[[], bool]:
    """Whether a process that was not there at the time of this call has the title now."""
    before = {process.pid for process in stand.processes(title)}
    return lambda: bool({process.pid for process in stand.processes(title)} - before)


def replaced_program(stand: Stand, name: str) -> Callable[[], bool]:
    before = {process.pid for process in _programs(stand, name)}
    return lambda: bool({process.pid for process in _programs(stand, name)} - before)


def kill_shards(stand: Stand, numbers: Sequence[int]) -> None:
    shards = stand.status()["shards"]
    for number in numbers:
        os.kill(shards[number]["pid"], signal.SIGKILL)


def epochs(stand: Stand, numbers: Sequence[int]) -> dict[int, int]:
    """Epoch by shard, of those that serve."""
    try:
        shards = stand.status()["shards"]
    except httpx.HTTPError:
        return {}
    return {number: shards[number]["epoch"] for number in numbers if "epoch" in shards[number]}


def newer_epochs(stand: Stand, before: dict[int, int]) -> Callable[[], bool]:
    """Whether each of the shards serves in a later epoch than it had."""

    def ask() -> bool:
        now = epochs(stand, list(before))
        return all(now.get(number, 0) > epoch for number, epoch in before.items())

    return ask


def _programs(stand: Stand, name: str) -> list[psutil.Process]:
    found = []
    for process in stand.processes():
        try:
            if process.name() == name:
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def _kill(processes: Sequence[psutil.Process], what: str) -> None:
    assert processes, f"no process {what} runs"
    for process in processes:
        process.kill()
