"""Reads and changes a tenant's resources: through the server while it runs, otherwise directly in the control plane.

The server propagates a change to the shards at once; a change made while nothing runs takes effect at the next start.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import msgspec

from cluster.cli.control import open_control_plane
from cluster.errors import NotInstalledError
from cluster.operator_client import Operator
from whisperer.errors import RequestError, UnavailableError

if TYPE_CHECKING:
    from cluster.control_plane import ControlPlane


def through(
    data_dir: Path, online: Callable[[Operator], Any], offline: Callable[[ControlPlane, ModuleType], Any]
) -> Any:
    """Return the JSON that ``online`` fetches if the installation is running, else that of what ``offline`` returns.

    ``offline`` is given the control plane and :mod:`cluster.control_plane.documents`.
    """
    if operator := running_operator(data_dir):
        with operator:
            return online(operator)
    # It takes 0.6 s of CPU, which help, completion and commands to a running installation do without.
    from cluster.control_plane import documents

    with open_control_plane(data_dir) as plane:
        return msgspec.to_builtins(offline(plane, documents))


def running_operator(data_dir: Path) -> Operator | None:
    """Return a client of the running server with the operator's rights, or None if it is not running. The caller closes
    it.
    """
    try:
        return Operator(data_dir)
    except (NotInstalledError, UnavailableError):
        return None


def all_pages(operator: Operator, *path: str, **query: str) -> list[dict[str, Any]]:
    """Fetch every page of a list and return all entries."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = operator.get(*path, **query, **({"cursor": cursor} if cursor else {}))
        found += page["data"]
        cursor = page["next_cursor"]
    return found


def read_object(text: str, what: str) -> dict[str, Any]:
    """Parse a file's JSON object. Raises RequestError, which ends a command as wrong usage."""
    try:
        found = msgspec.json.decode(text.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise RequestError(f"{what} is not JSON: {error}", code="malformed_json") from None
    if not isinstance(found, dict):
        raise RequestError(f"{what} is not a JSON object", code="malformed_json")
    return found


def named(document: dict[str, Any], name: str | None, what: str) -> str:
    """Return the name given by the option or the file, and remove it from the document."""
    told = document.pop("name", None)
    chosen = told if name is None else name
    if not isinstance(chosen, str):
        raise RequestError(f'say its name: --name NAME, or "name" in {what}', code="invalid_request")
    return chosen


def flagged(document: dict[str, Any], flag: str) -> bool:
    """Remove a flag from the document and return it. Only true and false are allowed, since any other value is
    ambiguous.
    """
    told = document.pop(flag, False)
    if not isinstance(told, bool):
        raise RequestError(f'"{flag}" is true or false', code="invalid_request")
    return told
