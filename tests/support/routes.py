"""Paths that a route would answer."""

from __future__ import annotations


def filled(path: str, **values: str) -> str:
    """Return a route's path with a value for each of its parameters: the one named, or "x"."""
    steps = []
    for step in path.split("/"):
        name = step.strip("{}").partition(":")[0]
        steps.append(values.get(name, "7" if name in ("version", "serial") else "x") if step.startswith("{") else step)
    return "/".join(steps)
