"""The command line `whisperer`: one module per command group.

Modules load only what `--help` needs; a command imports the rest when it runs.
"""

from cluster.cli.entry import main

__all__ = ["main"]
