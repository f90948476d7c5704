"""Say which blocks a template keeps to a version of that is not the newest (:mod:`whisperer.content.blocks`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whisperer.content.blocks import references_in, split
from whisperer.content.lint.finding import Finding


def kept_blocks(body: Any) -> list[tuple[str, int]]:
    """Return (block, version) of those that a template's texts keep to a version of."""
    return [(name, version) for name, version in map(split, sorted(references_in(body))) if version is not None]


def behind(body: Any, newest: Mapping[str, int]) -> list[Finding]:
    """Return a finding for each that has a newer version. ``newest``: block -> version."""
    return [
        Finding(
            severity="info",
            code="newer_block",
            message=f"it keeps to version {version} of block {name}; {newest[name]} is the newest: "
            f"write '{name}@{newest[name]}' and publish again to take that, or '{name}' to follow",
        )
        for name, version in kept_blocks(body)
        if version < newest.get(name, 0)
    ]
