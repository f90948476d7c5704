"""Prints what differs between two versions: what went in red, what came in green, if the output is a terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from cluster.cli import output
from cluster.cli.answers.drafts import Change, Difference

_GONE, _NEW, _PLACE, _CONTEXT = "red", "green", "bold", "dim"
_STYLES = {"-": _GONE, "+": _NEW, "@": "cyan"}


def print_difference(found: Difference) -> None:
    """Print every change: its place, and the lines or values before and after."""
    before, after = (_called(found.before), _called(found.after))
    output.say(f"{found.kind} {found.name}, from {before} to {after}:")
    if not found.changes:
        output.say("Nothing differs.")
    output.print_styled([line for change in found.changes for line in _lines(change)])
    if found.truncated:
        output.say("There are more changes than are listed.")


def _lines(change: Change) -> Iterator[tuple[str, str]]:
    yield change.pointer or "(whole)", _PLACE
    if change.lines is not msgspec.UNSET:
        for line in change.lines:
            yield f"  {line}", _STYLES.get(line[:1], _CONTEXT)
        return
    if change.before is not msgspec.UNSET:
        yield f"  -{_shown(change.before)}", _GONE
    if change.after is not msgspec.UNSET:
        yield f"  +{_shown(change.after)}", _NEW


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _called(which: int | str | None) -> str:
    return "nothing" if which is None else f"version {which}" if isinstance(which, int) else f"the {which}"
