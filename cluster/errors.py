"""Define what the operator of an installation has to put right; each message says what happened and what to do.

They are in one place, which imports nothing else of this package, so that the command line can tell them apart without
loading what raises them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from whisperer.errors import OperatorError


class SettingsError(OperatorError):
    """A setting is unknown, of the wrong type, or impossible; the message names the place and the remedy."""


class InstallationError(OperatorError):
    """The data folder cannot be used as requested; the message says why and what to do."""


class NotInstalledError(InstallationError):
    """There is no installation in the data folder."""


class NoFreePortsError(OperatorError):
    """Every block of ports is claimed or in use."""


class StartError(OperatorError):
    """A part did not start. ``log`` is the file that says why, if there is one."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.message, self.log)
