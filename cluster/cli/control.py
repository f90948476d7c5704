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
    from cluster.control_plane.keyring import Keyring, make_key_file

    if create:
        installation.prepare_folder(data_dir)
    in_force = settings_in_force(data_dir).control_plane
    url, key_file = in_force.url, Path(in_force.key_file)
    own = data_dir.resolve() / "control.db"
    if not create and url == f"sqlite:///{own}" and not own.exists():
        installation.load(data_dir)
    make_key_file(key_file)
    return ControlPlane(url, data_dir / installation.WITNESS_FILE, Keyring.of_file(key_file))


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

    return settings.load(data_dir, remembered=None if record is None else record.remembered)
