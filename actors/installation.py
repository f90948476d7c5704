"""Read what actors need of an installation's record: places and sizes, nothing of the launcher's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from actors.telemetry import logs
from whisperer.settings import Settings


class Installation(msgspec.Struct, frozen=True):
    """The part of `installation.json` that actors need; the launcher fills every URL.

    A record of another release is read too: missing settings have their defaults, unknown ones are ignored.
    """

    data_dir: str
    ray_address: str
    settings: Settings
    link_secret: str = ""
    temp_dir: str = ""


def load(path: str | Path) -> Installation:
    """Read an installation's record."""
    return msgspec.json.decode(Path(path).read_bytes(), type=Installation)


def configure_logs(path: str | Path, process: str, **more: Any) -> None:
    """Send this process's log lines where the installation's settings say; ``more`` is added to each."""
    installation = load(path)
    chosen = installation.settings.logs
    logs.configure(
        process, folder=Path(installation.data_dir) / "logs", as_json=chosen.json, debug=chosen.debug, **more
    )
