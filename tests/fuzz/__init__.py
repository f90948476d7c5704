"""Coverage-guided fuzzing of everything that reads bytes it did not write.

A target is a file in ``targets``. Its ``attack(data)`` raises where a promise is broken and returns what came of the
input; ``seeds()`` are inputs to start from, ``WORDS`` what inputs are made of. ``corpus/<target>`` holds small inputs
that reach what others do not, ``found/<target>`` every input that ever broke a promise. The tests try them all, then look
for new ones for ten seconds a target. By hand, for as long as you like:

    python -m tests.fuzz scanner --seconds 3600 --keep
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

HERE = Path(__file__).parent
TARGETS = sorted(path.stem for path in (HERE / "targets").glob("[a-z]*.py"))


def load(target: str) -> ModuleType:
    return importlib.import_module(f"tests.fuzz.targets.{target}")


def corpus(target: str) -> list[bytes]:
    """The inputs that are kept for a target."""
    return [path.read_bytes() for kept in ("corpus", "found") for path in sorted((HERE / kept / target).glob("*"))]


class Refusal(Protocol):
    errors: list[dict[str, Any]]


def codes(refusal: Refusal) -> tuple[str, ...]:
    """What a refusal names; one that names nothing breaks a promise."""
    assert refusal.errors
    return tuple(sorted({problem["code"] for problem in refusal.errors}))
