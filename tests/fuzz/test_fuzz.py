"""Whatever bytes come in, promises hold: those that once broke one, and new ones for ten seconds a target."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz import TARGETS, corpus, load

ROOT = Path(__file__).parents[2]
SECONDS = 10


@pytest.mark.parametrize("target", TARGETS)
def test_what_was_found_once_stays_mended(target: str) -> None:
    loaded = load(target)
    for data in [b"", *loaded.seeds(), *corpus(target)]:
        loaded.attack(data)


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris has no wheel for this Python")
@pytest.mark.parametrize("target", TARGETS)
def test_ten_seconds_find_nothing_new(target: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.fuzz", target, f"--seconds={SECONDS}", f"--found={tmp_path}"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=250)
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert ran.returncode == 0, f"{found}\n{ran.stderr[-4000:]}"
