"""Keep on disk where a simulation stands, so that a restarted demo goes on instead of starting over.

Written before each batch is sent: which events it holds and which times they are given. After a crash that batch is
sent again, byte for byte, and nothing before it. The population itself is kept about once per simulated day, never
ahead of what was acknowledged; the few events between the two are lived again and not sent.
"""

from __future__ import annotations

import json
import os
import struct
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from whisperer.errors import ConflictError

from .population import Population
from .stream import Kept


class CursorError(ConflictError):
    """Raised if the state on disk belongs to another simulation or cannot be read."""


@dataclass(slots=True)
class Cursor:
    """A position: ``place`` is the first event not known to be acknowledged; ``n_out`` events from there on may have
    been sent, with live times spread over ``from_ms`` to ``to_ms``."""

    seed: int
    n_users: int
    start: str
    salt: str
    place: int = 0
    n_out: int = 0
    from_ms: int = 0
    to_ms: int = 0


class CursorStore:
    """Store the cursor and population of one simulation in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._cursor = folder / "cursor.json"
        self._population = folder / "population.bin"

    def load(self) -> Cursor | None:
        """Return the cursor, None if there is none. Raises CursorError."""
        if not self._cursor.exists():
            return None
        try:
            return Cursor(**json.loads(self._cursor.read_bytes()))
        except (ValueError, TypeError) as error:
            raise CursorError(f"{self._cursor} cannot be read; remove it to begin a new simulation") from error

    def save(self, cursor: Cursor) -> None:
        """Replace the cursor."""
        _replace(self._cursor, json.dumps(asdict(cursor), indent=1).encode())

    def load_population(self, cursor: Cursor) -> tuple[Population, int]:
        """Return the population at or before the cursor, and the place of its next event."""
        start = datetime.fromisoformat(cursor.start)
        if self._population.exists():
            raw = self._population.read_bytes()
            (size,) = struct.unpack_from("<Q", raw)
            rest: dict[str, Any] = json.loads(raw[8 : 8 + size])
            if rest["identity"] == [cursor.seed, cursor.n_users, cursor.start] and rest["place"] <= cursor.place:
                arrays = raw[8 + size :]
                return Population.restored(cursor.seed, cursor.n_users, start, arrays, rest), int(rest["place"])
        return Population(cursor.seed, cursor.n_users, start), 0

    def save_population(self, cursor: Cursor, kept: Kept) -> None:
        """Replace the population."""
        identity = [cursor.seed, cursor.n_users, cursor.start]
        rest = json.dumps({**kept.rest, "identity": identity, "place": kept.place}).encode()
        _replace(self._population, struct.pack("<Q", len(rest)) + rest + kept.arrays)


def _replace(path: Path, content: bytes) -> None:
    beside = path.with_suffix(".new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
