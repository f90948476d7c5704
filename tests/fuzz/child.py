"""The process that is fuzzed: `python -m tests.fuzz.child TARGET [libFuzzer's options] folders...`.

All of the product that a target reaches is instrumented, except modules with kernels, which numba compiles from their
bytecode. What a kernel found shows in the outcome that ``attack`` returns: one never seen before counts as new code.
"""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Hashable
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
PACKAGES = ("whisperer", "actors")
N_OUTCOMES = 1_024
_KERNEL = re.compile(r"^@(kernel|njit|intrinsic|_inline)|^from numba import", re.MULTILINE)


def with_kernels() -> list[str]:
    """Modules that must keep their bytecode."""
    paths = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths if _KERNEL.search(path.read_text())
    ]


class Outcomes:
    """One instrumented function an outcome."""

    def __init__(self) -> None:
        made: dict[str, object] = {}
        exec("\n".join(f"def outcome_{n}(): return {n}" for n in range(N_OUTCOMES)), made)
        self._functions = [atheris.instrument_func(made[f"outcome_{n}"]) for n in range(N_OUTCOMES)]

    def note(self, outcome: Hashable) -> None:
        self._functions[hash(outcome) % N_OUTCOMES]()


def main() -> None:
    name, options = sys.argv[1], sys.argv[2:]
    warnings.simplefilter("ignore")
    logging.disable()
    with atheris.instrument_imports(include=PACKAGES, exclude=with_kernels(), enable_loader_override=False):
        from tests.fuzz import load

        target = load(name)
    for seed in target.seeds():
        target.attack(seed)  # kernels that are not on disk yet take longer to compile than an input may take
    outcomes = Outcomes()

    def once(data: bytes) -> None:
        outcomes.note(target.attack(data))

    atheris.Setup([f"fuzz-{name}", *options], once)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
