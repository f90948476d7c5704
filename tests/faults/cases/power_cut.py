"""Everything dies at once and the journals end in half a group; then every image a power cut could have left is tried.

The machine's power is not ours to cut, so its two effects are made apart. All processes die without a goodbye (SIGKILL
to every one of them), and what was not synced is torn: half a group is left at the end of each journal before
`whisperer up`. Then, on copies of the journals that the run wrote, a group is cut at every byte, a bit of every byte is
flipped, and bits before the watermark are flipped (:mod:`tests.faults.crash_images`).
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from cluster.launch import installation, pids
from tests.faults import crash_images
from tests.faults.cases import FaultResult, Options
from tests.support.stand import Stand

OWN_INSTALLATION = True


def run(options: Options) -> FaultResult:
    with tempfile.TemporaryDirectory(prefix="journals-") as kept:
        copies: list[Path] = []
        with options.under_load() as scene:

            def cut_power_and_start_again() -> None:
                _kill_everything(scene.stand)
                for folder in _journals(scene.stand):
                    copies.append(Path(kept) / f"{len(copies)}")
                    shutil.copytree(folder, copies[-1])
                    crash_images.tear(folder)
                scene.stand.up()

            for _ in range(min(options.rounds, 2)):
                scene.strike(cut_power_and_start_again, timeout_s=300)
        found = sum(map(crash_images.survey, copies), crash_images.Survey())
    assert scene.verdict is not None
    scene.verdict.problems.extend(
        [f"{len(found.problems)} images wrong", *found.problems[:3]] if found.problems else []
    )
    return scene.result(
        f"`whisperer up` included; images: {found.n_cut:,} cut and {found.n_flipped:,} flipped after the watermark, to be "
        f"recovered, {found.n_damaged:,} damaged before it, to be refused by name: {len(found.problems)} wrong",
        images={"cut": found.n_cut, "flipped": found.n_flipped, "damaged": found.n_damaged},
        image_problems=found.problems,
    )


def _kill_everything(stand: Stand) -> None:
    record = installation.load(stand.data_dir)
    for _ in range(3):  # a dying raylet may have started one more
        for pid in pids.find(record.id, Path(record.temp_dir), record.pids):
            with suppress(psutil.NoSuchProcess):
                psutil.Process(pid.pid).kill()


def _journals(stand: Stand) -> list[Path]:
    _, settings = installation.load(stand.data_dir).configured()
    return sorted(Path(urlsplit(settings.journal.url).path).glob("shard-*"))
