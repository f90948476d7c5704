"""The journals' disk (a small tmpfs) is full for five seconds, and then not any more.

The kernel's own ENOSPC meets whatever the journals were doing: a group, a new segment, the next incarnation's recovery.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.faults.cases import CannotRunError, FaultResult, Options

OWN_INSTALLATION = True
DISK_MIB = 96
FULL_S = 5.0


def run(options: Options) -> FaultResult:
    with _small_disk() as disk:
        try:
            with options.under_load(settings={"JOURNAL_URL": f"file://{disk}/journal"}) as scene:

                def fill() -> float:
                    ballast = disk / "ballast"
                    _fill(ballast)
                    time.sleep(FULL_S)
                    ballast.unlink()
                    return time.monotonic()

                for _ in range(options.rounds):
                    scene.strike(fill)
        finally:
            options.stands.end()  # before its disk goes
    return scene.result(f"from when there was room again; the disk was full for {FULL_S:g} s")


@contextmanager
def _small_disk() -> Iterator[Path]:
    if os.geteuid() != 0:
        raise CannotRunError("mounting a small tmpfs needs root")
    disk = Path(tempfile.mkdtemp(prefix="small-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        disk.rmdir()
        raise CannotRunError("this container may not mount a tmpfs")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
        disk.rmdir()


def _fill(ballast: Path) -> None:
    """Down to the last byte: journals append to pages that they have begun already."""
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    try:
        for size in (1 << 20, 1 << 12, 1):
            with suppress(OSError):
                while True:
                    os.write(fd, bytes(size))
    finally:
        os.close(fd)
