"""The two ways to an installation: its control plane, which is there always, and its server, while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.control_plane import ControlPlane
    from cluster.operator_client import Operator


def open_control_plane(data_dir: Path, *, create: bool = False) -> ControlPlane:
    """The control plane that the installation uses: as recorded if it runs, as configured otherwise.

    Only commands that create something (``create``) make a missing folder; the others raise NotInstalledError.
    """
    from cluster import installation, settings
    from cluster.control_plane import ControlPlane

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
    """The running server as its operator sees it; None while nothing runs there. The caller closes it."""
    from cluster.installation import NotInstalledError
    from cluster.operator_client import Operator
    from whisperer.errors import UnavailableError

    try:
        return Operator(data_dir)
    except (NotInstalledError, UnavailableError):
        return None
