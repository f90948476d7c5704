"""Fuzz one target: `python -m tests.fuzz TARGET --seconds N`.

An input that breaks a promise is written into the folder ``--found``, and ends the run with exit code 77. What reached
new code is thrown away, or stays in the folder ``--learned``, where the next run goes on from it. With ``--keep`` it joins
the target's corpus, which then holds the fewest inputs that reach all.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz import HERE, TARGETS, corpus, load

FOUND = 77
MAX_INPUT_BYTES = 4_096
MAX_CORPUS_BYTES = 64 << 10
"""Of one target: the tests try all of it in a moment."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--seconds", type=int, default=10, help="how long to look (default: 10)")
    parser.add_argument("--seed", type=int, default=0, help="repeat a run; 0 (the default) draws one")
    parser.add_argument("--learned", type=Path, help="folder for inputs that reach new code (default: a temporary one)")
    parser.add_argument("--keep", action="store_true", help="make the corpus anew from all that reaches something")
    parser.add_argument("--found", type=Path, default=Path(), help="folder for an input that breaks a promise")
    options = parser.parse_args()
    target = load(options.target)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        learned = options.learned or Path(folder, "learned")
        start, merged = Path(folder, "start"), Path(folder, "merged")
        for made in (learned, start, merged):
            made.mkdir(parents=True, exist_ok=True)
        for data in [*target.seeds(), *corpus(options.target)]:
            (start / _name(data)).write_bytes(data)
        words = Path(folder, "words")
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.WORDS))
        child = [sys.executable, "-m", "tests.fuzz.child", options.target]
        limits = [
            f"-max_total_time={options.seconds}",
            f"-max_len={MAX_INPUT_BYTES}",
            "-timeout=20",
            "-rss_limit_mb=4096",
            f"-seed={options.seed}",
            f"-dict={words}",
            f"-artifact_prefix={options.found / options.target}-",
        ]
        found = subprocess.run([*child, *limits, str(learned), str(start)]).returncode
        if options.keep:
            subprocess.run([*child, "-merge=1", str(merged), str(start), str(learned)], check=True)
            _keep(options.target, merged)
    sys.exit(FOUND if found else 0)


def _keep(target: str, merged: Path) -> None:
    folder = HERE / "corpus" / target
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    size = 0
    for path in sorted(merged.iterdir(), key=lambda path: path.stat().st_size):
        data = path.read_bytes()
        size += len(data)
        if size > MAX_CORPUS_BYTES:
            return
        (folder / _name(data)).write_bytes(data)


def _name(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _escaped(word: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word.encode())


if __name__ == "__main__":
    main()
