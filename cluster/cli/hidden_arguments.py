"""Hides a secret that was given on the command line from everybody who lists processes.

Linux shows a process's arguments from its own memory, where it may overwrite them. This module does so in place; where
that is impossible, it does nothing.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

_ARG_START, _ARG_END = 47, 48
"""Fields of /proc/self/stat, counted from 0."""


def hide_argument(secret: str, shown: str) -> None:
    """Overwrite ``secret``, wherever it is in this process's arguments, with ``shown``, which is not longer."""
    old = os.fsencode(secret)
    new = os.fsencode(shown)[: len(old)].ljust(len(old), b" ")
    try:
        stat = Path("/proc/self/stat").read_bytes()
        # The second field, the program's name in brackets, may hold blanks.
        fields = [b"", b"", *stat[stat.rindex(b")") + 2 :].split()]
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
    except (OSError, ValueError, IndexError):
        return
    if not old or not start < end:
        return
    arguments = ctypes.string_at(start, end - start)
    at = arguments.find(old)
    while at >= 0:
        ctypes.memmove(start + at, new, len(new))
        at = arguments.find(old, at + len(old))
