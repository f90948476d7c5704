"""Check a template's slots for generated text: each has words of its own, for when no model's can be used."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from whisperer.content.lint.finding import Finding

_SLOT = re.compile(r"\{\{-?\s*generated\.(\w+)(?!\w)(?!\s*\|\s*default\b)")


def slots(locale: str, parts: dict[str, Any]) -> Iterator[Finding]:
    """Report slots without a default: a message must not depend on a model."""
    for part, text in parts.items():
        if isinstance(text, str) and (found := _SLOT.search(text)):
            line = text.count("\n", 0, found.start()) + 1
            message = f'generated.{found[1][:60]} needs words for when no model can be used: | default: "…"'
            yield Finding(
                severity="error",
                code="slot_without_default",
                message=message,
                locale=locale,
                part=part,
                line=line,
                column=1,
            )
