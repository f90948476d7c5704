"""Runs a command and turns any exception into a message and an exit code.

A message says what happened and what to do; a traceback means a bug. The exit codes are part of the interface.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from cluster.cli.app import app
from cluster.cli.exit_codes import FAILED, NOT_FOUND, NOT_READY, NOT_RUNNING, REFUSED, USAGE
from cluster.cli.output import fail
from cluster.errors import InstallationError, NoFreePortsError, NotInstalledError, SettingsError, StartError
from cluster.launch.file_modes import PRIVATE
from whisperer.errors import (
    ConflictError,
    ForbiddenError,
    NotFoundError,
    ProblemsError,
    RequestError,
    UnavailableError,
    WhispererError,
)

_CODES: tuple[tuple[type[WhispererError], int], ...] = (
    (StartError, NOT_READY),
    (NotInstalledError, NOT_RUNNING),
    (InstallationError, REFUSED),
    (SettingsError, USAGE),
    (NoFreePortsError, FAILED),
    (NotFoundError, NOT_FOUND),
    (ConflictError, REFUSED),
    (ForbiddenError, REFUSED),
    (RequestError, USAGE),
    (UnavailableError, NOT_RUNNING),
    (WhispererError, FAILED),
)


def main() -> None:
    """Run the command line; exit with the code of the error raised, if any."""
    os.umask(PRIVATE)
    try:
        app(prog_name="whisperer")
    except BrokenPipeError:  # `whisperer ... | head`
        sys.stderr.close()
        sys.exit(FAILED)
    except WhispererError as error:
        _explain(error)


def _explain(error: WhispererError) -> NoReturn:
    code = next(code for kind, code in _CODES if isinstance(error, kind))
    found = error.errors if isinstance(error, ProblemsError) else []
    problems = [f"  {problem['pointer'] or '(whole)'}: {problem['message']}" for problem in found]
    fail("\n".join([str(error), *problems]), code, log=error.log if isinstance(error, StartError) else None)
