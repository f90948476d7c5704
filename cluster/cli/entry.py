"""Runs a command and turns any exception into a message and an exit code.

A message says what happened and what to do; a traceback means a bug. The exit codes are part of the interface.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from cluster.cli.exit_codes import FAILED, NOT_FOUND, NOT_READY, NOT_RUNNING, REFUSED, USAGE


def main() -> None:
    """Run the command line; exit with the code of the error raised, if any."""
    from cluster.cli.app import app
    from cluster.launch.file_modes import PRIVATE

    os.umask(PRIVATE)
    try:
        app(prog_name="whisperer")
    except BrokenPipeError:  # `whisperer ... | head`
        sys.stderr.close()
        sys.exit(FAILED)
    except Exception as error:
        _explain(error)


def _explain(error: Exception) -> NoReturn:
    from cluster.launch.installation import InstallationError, NotInstalledError
    from cluster.launch.ports import NoFreePortsError
    from cluster.launch.ray_head import StartError
    from cluster.settings import SettingsError
    from whisperer.errors import (
        ConflictError,
        NotFoundError,
        ProblemsError,
        RequestError,
        UnavailableError,
        WhispererError,
    )

    codes: list[tuple[type[Exception], int]] = [
        (StartError, NOT_READY),
        (NotInstalledError, NOT_RUNNING),
        (InstallationError, REFUSED),
        (SettingsError, USAGE),
        (NoFreePortsError, FAILED),
        (NotFoundError, NOT_FOUND),
        (ConflictError, REFUSED),
        (RequestError, USAGE),
        (UnavailableError, NOT_RUNNING),
        (WhispererError, FAILED),
    ]
    code = next((code for kind, code in codes if isinstance(error, kind)), None)
    if code is None:
        raise error
    from cluster.cli.output import fail

    found = error.errors if isinstance(error, ProblemsError) else []
    problems = [f"  {problem['pointer'] or '(whole)'}: {problem['message']}" for problem in found]
    fail("\n".join([str(error), *problems]), code, log=getattr(error, "log", None))
