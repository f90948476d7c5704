"""Define what a check reports."""

from __future__ import annotations

from typing import Literal

import msgspec

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Report one thing.

    Attributes
    ----------
    severity : "error" is certainly wrong and cannot be published, "warning" probably, "info" is worth knowing
    code : stable; docs/templates.md lists them
    message : what is the case and what to do
    locale, part : where; None for the whole template
    line, column : in the part as its author wrote it, from 1; None where it has no place
    """

    severity: Severity
    code: str
    message: str
    locale: str | None = None
    part: str | None = None
    line: int | None = None
    column: int | None = None
