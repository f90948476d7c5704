"""Frame what goes to a worker and comes back: a task after its length; pieces, each after its kind and length."""

from __future__ import annotations

import struct

TASK_HEAD = struct.Struct("<Q")
PIECE_HEAD = struct.Struct("<BI")
PIECE, DONE, FAILED = range(3)

Failure = tuple[str, str, str, float | None]
"""Class of :mod:`whisperer.errors`, message, code, when to ask again: follows :data:`FAILED`, in MessagePack."""
