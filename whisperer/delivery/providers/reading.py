"""Read the fields of a provider's configuration, and collect everything that is wrong with them."""

from __future__ import annotations

from typing import Any

from whisperer.delivery.addresses import is_clean
from whisperer.errors import Problem

MAX_TEXT = 512


class ConfigReader:
    """Collect problems; each method returns the value read, or None (a number: its default) after noting a problem."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def note(self, pointer: str, code: str, message: str) -> None:
        self.problems.append(Problem(pointer=pointer, code=code, message=message))

    def fields(self, config: dict[str, Any], known: tuple[str, ...]) -> None:
        unknown = [name for name in config if name not in known]
        if unknown:
            message = f"{len(unknown)} fields here have no meaning; known are {', '.join(known) or 'none'}"
            self.note("/config", "unknown_field", message)

    def text(self, config: dict[str, Any], name: str, most: int = MAX_TEXT, *, required: bool = True) -> str | None:
        at, value = f"/config/{name}", config.get(name)
        if value is None or value == "":
            if required:
                self.note(at, "missing_field", f"{name} is needed")
        elif not isinstance(value, str):
            self.note(at, "invalid_type", f"{name} is a text")
        elif len(value) > most:
            self.note(at, "too_long", f"{len(value)} characters; at most {most}")
        elif not is_clean(value):
            self.note(at, "invalid_text", f"{name} holds a line break or another control character; take it out")
        else:
            return value
        return None

    def number(self, config: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
        value = config.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.note(f"/config/{name}", "invalid_type", f"{name} is a number from {low:g} to {high:g}")
        elif not low <= value <= high:  # NaN too
            self.note(f"/config/{name}", "out_of_range", f"{name} is a number from {low:g} to {high:g}")
        else:
            return value
        return default
