"""The way of commands to a tenant's resources: through the server while it runs, else straight in the control plane.

The server spreads a change to the shards at once; what is changed while nothing runs takes effect at the next start.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster.control_plane import ControlPlane
    from cluster.operator_client import Operator


def through(data_dir: Path, online: Callable[[Operator], Any], offline: Callable[[ControlPlane], Any]) -> Any:
    """What ``online`` answers while the installation runs, else what ``offline`` does."""
    from cluster.cli.control import open_control_plane, running_operator

    if operator := running_operator(data_dir):
        with operator:
            return online(operator)
    with open_control_plane(data_dir) as plane:
        return offline(plane)


def all_pages(operator: Operator, *path: str) -> list[dict[str, Any]]:
    """Every entry of a list."""
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = operator.get(*path, **({"cursor": cursor} if cursor else {}))
        found += page["data"]
        cursor = page["next_cursor"]
    return found


def read_object(text: str, what: str) -> dict[str, Any]:
    """A file's JSON. Raises RequestError, which ends a command as wrong usage."""
    import msgspec

    from whisperer.errors import RequestError

    try:
        found = msgspec.json.decode(text.encode("utf-8", "surrogatepass"))
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise RequestError(f"{what} is not JSON: {error}", code="malformed_json") from None
    if not isinstance(found, dict):
        raise RequestError(f"{what} is not a JSON object", code="malformed_json")
    return found


def named(document: dict[str, Any], name: str | None, what: str) -> str:
    """The name that a file or an option gives; taken out of the document."""
    from whisperer.errors import RequestError

    told = document.pop("name", None)
    chosen = told if name is None else name
    if not isinstance(chosen, str):
        raise RequestError(f'say its name: --name NAME, or "name" in {what}', code="invalid_request")
    return chosen


def flagged(document: dict[str, Any], flag: str) -> bool:
    """A flag that a file may raise, taken out of the document: true or false, as no other value says which."""
    from whisperer.errors import RequestError

    told = document.pop(flag, False)
    if not isinstance(told, bool):
        raise RequestError(f'"{flag}" is true or false', code="invalid_request")
    return told
