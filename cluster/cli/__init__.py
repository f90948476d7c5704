"""The command line `whisperer`: one module per command group.

A module is imported only when one of its commands is invoked, or its help shown.
"""

from cluster.cli.entry import main

__all__ = ["main"]
