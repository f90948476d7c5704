"""Installs npm packages that tests take as oracles, once per version into a temporary folder, and runs scripts there.

Where there is no node, or npm cannot fetch them, whoever needs them is skipped, and says why.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest


def installed(*packages: str) -> Path:
    """Return a folder with these packages, each ``name@version``; skip the test without one."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip(f"node and npm are not here: the oracle {packages[0]} needs them")
    digest = hashlib.sha256(" ".join(packages).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"whisperer-npm-{digest}-{os.getuid()}"
    if not (folder / "done").exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *packages]
        done = subprocess.run(install, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode != 0:
            pytest.skip(f"npm could not fetch {packages[0]}: {done.stderr[-300:]}")
        (folder / "done").touch()
    return folder


def answer(folder: Path, script: str, question: Any) -> Any:
    """Run a script that reads JSON from stdin and writes JSON; return what it wrote."""
    done = subprocess.run(
        ["node", "-e", script], cwd=folder, input=json.dumps(question), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return json.loads(done.stdout)
