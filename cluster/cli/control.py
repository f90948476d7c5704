"""Opens an installation's control plane, which is always there, and finds the settings that it is under."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from cluster.errors import NotInstalledError
from cluster.launch import installation
from whisperer.settings import Settings

if TYPE_CHECKING:
    from cluster.control_plane import ControlPlane


def open_control_plane(data_dir: Path, *, create: bool = False) -> ControlPlane:
    """Open the control plane that the installation uses: as recorded if it is running, otherwise as configured.

    Only commands that create something (``create``) make a missing folder; otherwise NotInstalledError is raised.
    """
    # SQLAlchemy takes 0.6 s of CPU, which help, completion and commands to a running installation do without.
    from cluster.control_plane import ControlPlane

    if create:
        installation.prepare_folder(data_dir)
    elif not (data_dir / "control.db").exists():
        installation.load(data_dir)
    return ControlPlane(settings_in_force(data_dir).control_plane.url)


def settings_in_force(data_dir: Path) -> Settings:
    """Return the installation's settings: as recorded if it is running, otherwise as configured."""
    try:
        record = installation.load(data_dir)
    except NotInstalledError:
        record = None
    if record is not None and record.running and record.settings is not None:
        return record.settings
    # What checks them takes 0.3 s of CPU, which commands to a running installation do without.
    from cluster import settings

    return settings.load(data_dir)
