"""Decides what an error of the database means to a caller, and keeps callers from waiting in line for one that is away.

Guarantees: a database that is away, busy, full or read-only is an UnavailableError, whatever the driver raised; a text
that PostgreSQL cannot hold is a RequestError. While it is away one caller at a time tries it and the others are refused
at once, so that a database that hangs costs few threads. Whoever tries it and is answered opens it for all. Leaves to
others: how long one try takes (:mod:`cluster.control_plane.postgresql`).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from whisperer.errors import RequestError, UnavailableError

RETRY_AFTER_S = 1.0
_READ_ONLY = "25006"
"""SQLSTATE of a write to a standby: its primary is being replaced."""


class Reach:
    """Whether a database answers one kind of transactions. Safe from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_away = False
        self._is_tried = False

    @property
    def is_away(self) -> bool:
        """Whether the last one who tried was not answered."""
        return self._is_away

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Run a transaction inside the block. Raises UnavailableError if the database does not answer."""
        tries = self._admit()
        try:
            yield
        except (
            PoolTimeoutError
        ) as error:  # all connections of this process are in use, which says nothing of the server
            raise _unavailable() from error
        except DataError as error:
            self._is_away = False
            raise RequestError(
                "a text or number of the request is none that the database can hold, such as a text with a NUL",
                code="invalid_request",
            ) from error
        except Exception as error:
            self._is_away = is_absence(error)
            if self._is_away:
                raise _unavailable() from error
            raise
        else:
            self._is_away = False
        finally:
            if tries:
                self._is_tried = False

    def _admit(self) -> bool:
        """Return whether the caller is the one who tries a database that was away. Raises UnavailableError."""
        with self._lock:
            if not self._is_away:
                return False
            if self._is_tried:
                raise _unavailable()
            self._is_tried = True
            return True


def is_absence(error: Exception) -> bool:
    """Return whether an error says that the database cannot do this now, rather than that the statement is wrong.

    Connections that break or cannot be made, time that is over, deadlocks, a busy file, a full disk, a standby.
    """
    if isinstance(error, OperationalError | InterfaceError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    return error.connection_invalidated or getattr(error.orig, "sqlstate", None) == _READ_ONLY


def _unavailable() -> UnavailableError:
    message = "the control plane's database does not answer now; what is published stays in force; try again"
    return UnavailableError(message, retry_after_s=RETRY_AFTER_S)
