"""A machine whose clock and disk do what they are told: the product's own actors and gateway, run on it.

A running installation cannot be given a failing disk or another clock from outside (not without touching the whole
machine). So :data:`SETTINGS` make it start this module's programs, which are the product's, with two of the operating
system's functions replaced: ``time.time_ns`` (and ``time.time``) add an offset, ``os.fdatasync`` can fail. What they are to do stands in files
of the data folder, so that a test can change it while they run.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SETTINGS = {"PROGRAMS_BOOT": "tests.faults.odd_boot", "PROGRAMS_GATEWAY": "tests.faults.odd_gateway:build"}
_CLOCK = "odd-clock-ms"
_LOOK_EVERY_NS = 20_000_000

_real_time_ns = time.time_ns
_real_fdatasync = os.fdatasync


def set_clock(data_dir: Path, offset_ms: int) -> None:
    """Every clock of the installation is that far ahead (behind, if negative) within 20 ms."""
    beside = data_dir / f"{_CLOCK}.new"
    beside.write_text(str(offset_ms))
    beside.rename(data_dir / _CLOCK)


def fail_next_sync(data_dir: Path, shard: int) -> None:
    """The next fdatasync under a shard's journal fails; those after it succeed."""
    _fault_file(data_dir, shard).touch()


def give_clock(data_dir: Path) -> None:
    """This process reads the installation's odd clock from now on."""
    path = data_dir / _CLOCK
    offset_ns = 0
    looked_ns = 0

    def time_ns() -> int:
        nonlocal offset_ns, looked_ns
        monotonic_ns = time.monotonic_ns()
        if monotonic_ns - looked_ns > _LOOK_EVERY_NS:
            looked_ns = monotonic_ns
            offset_ns = int(path.read_text()) * 1_000_000 if path.exists() else 0
        return _real_time_ns() + offset_ns

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


def give_disk(data_dir: Path, shard: int, journal: Any) -> None:
    """This journal's next syncs fail when :func:`fail_next_sync` says so."""
    journal._sync = _failing(_fault_file(data_dir, shard), journal._sync)


def _failing(fault: Path, sync: Callable[[int], None]) -> Callable[[int], None]:
    def sync_or_fail(fd: int) -> None:
        try:
            fault.unlink()
        except FileNotFoundError:
            sync(fd)
        else:
            raise OSError(errno.EIO, "Input/output error")

    return sync_or_fail


def _fault_file(data_dir: Path, shard: int) -> Path:
    return data_dir / f"odd-disk-{shard}"
