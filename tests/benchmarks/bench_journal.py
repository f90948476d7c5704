"""Speed of the file journal beside its floor: plain write + fdatasync of the same bytes, by turns in the same process.

    python -m tests.benchmarks.bench_journal [--groups 300] [--folder DIR] [--json FILE]

The floor and the journal alternate in rounds, so that a disk that slows down slows both; the median round counts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from actors.journal import FileJournal

GROUP_BYTES = 100_000
N_ROUNDS = 6
N_SMALL = 1_000_000
SMALL_BYTES = 100


def floor_s(path: Path, payload: bytes, n_groups: int) -> float:
    """Seconds to write and fdatasync the payload n times to a growing file."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    begun = time.perf_counter()
    for _ in range(n_groups):
        os.write(fd, payload)
        os.fdatasync(fd)
    taken = time.perf_counter() - begun
    os.close(fd)
    path.unlink()
    return taken


def append_s(journal: FileJournal, groups: list[list[bytes]]) -> float:
    begun = time.perf_counter()
    for group in groups:
        journal.append(group)
    return time.perf_counter() - begun


def replay_s(journal: FileJournal, start: int) -> tuple[float, int]:
    begun = time.perf_counter()
    n_records = sum(1 for _ in journal.replay(start))
    return time.perf_counter() - begun, n_records


def measure(folder: Path, n_groups: int) -> dict[str, float]:
    """One dictionary of figures; units in the names."""
    payload = os.urandom(GROUP_BYTES)
    per_round = max(1, n_groups // N_ROUNDS)
    floors, one_record, many_records = [], [], []
    with FileJournal.open(folder / "journal") as journal:
        many = [payload[at : at + 1000] for at in range(0, GROUP_BYTES, 1000)]
        for _ in range(N_ROUNDS):
            floors.append(floor_s(folder / "floor", payload, per_round))
            one_record.append(append_s(journal, [[payload]] * per_round))
            many_records.append(append_s(journal, [many] * per_round))
        large_s, _ = replay_s(journal, 0)
        large_bytes = small_start = journal.roll()
        small = [payload[:SMALL_BYTES]] * 10_000
        for _ in range(N_SMALL // len(small)):
            journal.append(small)
        small_s, n_small = replay_s(journal, small_start)
        small_bytes = journal.end - small_start
    floor, one, hundred = (statistics.median(taken) / per_round for taken in (floors, one_record, many_records))
    return {
        "group_bytes": GROUP_BYTES,
        "floor_fsyncs_per_s": 1 / floor,
        "floor_mb_per_s": GROUP_BYTES / floor / 1e6,
        "append_fsyncs_per_s": 1 / one,
        "append_mb_per_s": GROUP_BYTES / one / 1e6,
        "append_over_floor": one / floor,
        "append_100_records_fsyncs_per_s": 1 / hundred,
        "append_100_records_over_floor": hundred / floor,
        "replay_mb_per_s": large_bytes / large_s / 1e6,
        "replay_small_records_per_s": n_small / small_s,
        "replay_small_mb_per_s": small_bytes / small_s / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=300, help="groups appended in each of the three ways")
    parser.add_argument("--folder", type=Path, help="where to write (its disk is what is measured); default: temporary")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as scratch:
        figures = {name: round(figure, 3) for name, figure in measure(Path(scratch), options.groups).items()}
    text = json.dumps(figures, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
