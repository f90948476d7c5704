"""Runs npm's Prism, which answers as an OpenAPI description says, and refuses what that does not allow.

It is installed once into a temporary folder. Where there is no node, or npm cannot fetch it, whoever needs it is
skipped, and says why.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.oidc_provider import free_port

VERSION = "5.16.0"


def installed() -> Path:
    """Return Prism's program; skip the test without one."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not here: Prism, which plays the providers, needs them")
    folder = Path(tempfile.gettempdir()) / f"whisperer-prism-{VERSION}-{os.getuid()}"
    if not (folder / "done").exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        package = f"@stoplight/prism-cli@{VERSION}"
        install = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), package]
        done = subprocess.run(install, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode != 0:
            pytest.skip(f"npm could not fetch Prism: {done.stderr[-300:]}")
        (folder / "done").touch()
    return folder / "node_modules/@stoplight/prism-cli/dist/index.js"


@contextmanager
def playing(description: Path) -> Iterator[str]:
    """The address of what plays an OpenAPI description, on loopback."""
    port = free_port()
    command = ["node", str(installed()), "mock", "--errors", "-h", "127.0.0.1", "-p", str(port), str(description)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        try:
            said = []
            for line in running.stdout:
                said.append(line)
                if "is listening on" in line:
                    break
            else:
                raise AssertionError(f"Prism ended: {''.join(said)[-2_000:]}")
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()
