"""The command line `whisperer`: one module a command group.

Modules load only what `--help` needs; whatever a command does is imported when it runs.
"""

from cluster.cli.entry import main

__all__ = ["main"]
