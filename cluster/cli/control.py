"""Opens an installation's control plane, which is always there, and its server, which answers while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.control_plane import ControlPlane
    from cluster.operator_client import Operator


def open_control_plane(data_dir: Path, *, create: bool = False) -> ControlPlane:
    """Open the control plane that the installation uses: as recorded if it is running, otherwise as configured.

    Only commands that create something (``create``) make a missing folder; otherwise NotInstalledError is raised.
    """
    from cluster import settings
    from cluster.control_plane import ControlPlane
    from cluster.launch import installation

    try:
        record = installation.load(data_dir)
    except installation.NotInstalledError:
        if not create and not (data_dir / "control.db").exists():
            raise
        record = None
    if record is not None and record.running and record.settings is not None:
        return ControlPlane(record.settings.control_plane.url)
    if create:
        installation.prepare_folder(data_dir)
    return ControlPlane(settings.load(data_dir).control_plane.url)


def running_operator(data_dir: Path) -> Operator | None:
    """Return a client of the running server with the operator's rights, or None if it is not running. The caller closes
    it.
    """
    from cluster.launch.installation import NotInstalledError
    from cluster.operator_client import Operator
    from whisperer.errors import UnavailableError

    try:
        return Operator(data_dir)
    except (NotInstalledError, UnavailableError):
        return None
