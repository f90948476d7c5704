"""Read and follow paths: where in a user's traits a predicate looks.

A path is written as text. Without a leading slash it is the name of a top-level trait, taken literally, dots and all.
With a leading slash it is a JSON Pointer (RFC 6901) into nested objects and lists: ``/company/plan``,
``/orders/0/sku``, with ``~1`` for a slash and ``~0`` for a tilde inside a name. Steps only look up keys and indices of
decoded JSON, so a trait named ``__class__`` is just a trait.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_STEP = re.compile(r"(?:[^~/]|~[01])*")
_INDEX = re.compile(r"0|[1-9][0-9]{0,8}")  # RFC 6901: no leading zeros; "-" never names a value


def split_path(text: str) -> tuple[str, ...] | None:
    """Return the steps of a path, or None if it is empty or has a ``~`` that is neither ``~0`` nor ``~1``."""
    if not text.startswith("/"):
        return (text,) if text else None
    steps = text[1:].split("/")
    if not all(_STEP.fullmatch(step) for step in steps):
        return None
    return tuple(step.replace("~1", "/").replace("~0", "~") for step in steps)


def join_path(steps: tuple[str, ...]) -> str:
    """Return the shortest text that names these steps: ``split_path(join_path(s)) == s``."""
    if len(steps) == 1 and steps[0] and not steps[0].startswith("/"):
        return steps[0]
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)


def value_at(traits: Mapping[str, Any], steps: tuple[str, ...]) -> Any:
    """Return the value that a path leads to; None if there is none, or if it is null."""
    here: Any = traits
    for step in steps:
        if isinstance(here, Mapping):
            here = here.get(step)
        elif isinstance(here, list):
            index = int(step) if _INDEX.fullmatch(step) else len(here)
            here = here[index] if index < len(here) else None
        else:
            return None
    return here
