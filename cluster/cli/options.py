"""Defines options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        "-d",
        envvar="DATA_DIR",
        metavar="DIR",
        help="Folder of the installation: its record, journals and database.",
        file_okay=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout.")]
TenantOption = Annotated[str, typer.Option("--tenant", "-t", metavar="NAME", help="Tenant, by name or id.")]

DEFAULT_DATA_DIR = Path("var")
