"""Read the fields of a provider's configuration, and collect everything that is wrong with them."""

from __future__ import annotations

import re
from typing import Any

from whisperer.delivery.addresses import is_clean, parse_sender
from whisperer.errors import Problem

HIDDEN = "…"
"""Stands for a secret wherever a configuration is shown."""
MAX_TEXT = 512
DEFAULT_TIMEOUT_S, MIN_TIMEOUT_S, MAX_TIMEOUT_S = 15.0, 1.0, 60.0

_VISIBLE = re.compile(r"[!-~]+")


class ConfigReader:
    """Collect problems; each method returns the value read, or None (a number, a choice: its default) after noting a
    problem. ``common`` are fields that are known besides those of the provider."""

    def __init__(self, common: tuple[str, ...] = ()) -> None:
        self.problems: list[Problem] = []
        self._common = common

    def note(self, pointer: str, code: str, message: str) -> None:
        self.problems.append(Problem(pointer=pointer, code=code, message=message))

    def fields(self, config: dict[str, Any], known: tuple[str, ...]) -> None:
        known = (*known, *self._common)
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

    def matching(
        self, config: dict[str, Any], name: str, form: re.Pattern[str], told: str, *, required: bool = True
    ) -> str | None:
        """Read a text of a given form, which ``told`` describes."""
        value = self.text(config, name, required=required)
        if value is None or form.fullmatch(value):
            return value
        self.note(f"/config/{name}", "invalid_text", f"{name} is {told}")
        return None

    def secret(
        self, config: dict[str, Any], name: str, form: re.Pattern[str] = _VISIBLE, *, required: bool = True
    ) -> str | None:
        """Read a secret that a header carries, never quoting it."""
        value = self.text(config, name, required=required)
        if value is None:
            return None
        if HIDDEN in value:  # the redacted form was sent back
            self.note(f"/config/{name}", "hidden_secret", f"{HIDDEN} stands for a secret; write the secret itself")
        elif not form.fullmatch(value):
            self.note(f"/config/{name}", "invalid_secret", f"this is no {name}: copy it again, without blanks")
        else:
            return value
        return None

    def sender(self, config: dict[str, Any], name: str, *, required: bool = True) -> str | None:
        value = self.text(config, name, required=required)
        if value is not None and parse_sender(value) is None:
            message = f"{name} is an e-mail address, or a name and an address: Ada <ada@example.com>"
            self.note(f"/config/{name}", "invalid_address", message)
        return value

    def number(self, config: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
        value = config.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.note(f"/config/{name}", "invalid_type", f"{name} is a number from {low:g} to {high:g}")
        elif not low <= value <= high:  # NaN too
            self.note(f"/config/{name}", "out_of_range", f"{name} is a number from {low:g} to {high:g}")
        else:
            return value
        return default

    def timeout_s(self, config: dict[str, Any]) -> float:
        return float(self.number(config, "timeout_s", DEFAULT_TIMEOUT_S, MIN_TIMEOUT_S, MAX_TIMEOUT_S))

    def flag(self, config: dict[str, Any], name: str) -> bool:
        value = config.get(name, False)
        if not isinstance(value, bool):
            self.note(f"/config/{name}", "invalid_type", f"{name} is true or false")
            return False
        return value

    def choice(self, config: dict[str, Any], name: str, choices: tuple[str, ...], default: str) -> str:
        value = config.get(name, default)
        if not isinstance(value, str) or value not in choices:
            told = ", ".join(choice or '""' for choice in choices)
            self.note(f"/config/{name}", "invalid_type", f"{name} is one of {told}")
            return default
        return value


def hidden(secret: object) -> str:
    """Return what is shown of a secret: that there is one."""
    return HIDDEN if secret else ""


def last_four(name: object) -> str:
    """Return what is shown of the name of a secret: enough to tell it from others."""
    return HIDDEN + str(name)[-4:] if name else ""
