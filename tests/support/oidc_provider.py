"""Runs npm's `oidc-provider`, a certified OpenID Connect provider, on this machine.

It is installed once into a temporary folder. Where there is no node, or npm cannot fetch it, whoever needs it is
skipped, and says why.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

VERSION = "9.13.3"
SCRIPT = Path(__file__).with_name("oidc_provider.mjs")


def installed() -> Path:
    """Return the folder with the provider; skip the test without one."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not here: the OpenID Connect provider of these tests needs them")
    folder = Path(tempfile.gettempdir()) / f"whisperer-oidc-provider-{VERSION}-{os.getuid()}"
    if not (folder / "done").exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        install = ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), f"oidc-provider@{VERSION}"]
        done = subprocess.run(install, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode != 0:
            pytest.skip(f"npm could not fetch oidc-provider: {done.stderr[-300:]}")
        (folder / "done").touch()
    shutil.copy(SCRIPT, folder / SCRIPT.name)
    return folder


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@contextmanager
def provider(port: int, redirect_uri: str) -> Iterator[str]:
    """A provider with keys of its own; its address."""
    folder = installed()
    command = ["node", SCRIPT.name, str(port), redirect_uri]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        try:
            said = []
            for line in running.stdout:
                said.append(line)
                if line.strip() == "ready":
                    break
            else:
                raise AssertionError(f"the provider ended: {''.join(said)[-2_000:]}")
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()
