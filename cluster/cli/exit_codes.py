"""List the exit codes of the command line, which are part of its interface."""

from __future__ import annotations

OK, FAILED, USAGE, NOT_RUNNING, NOT_FOUND, REFUSED, NOT_READY = range(7)

EXIT_CODES = (
    "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 nothing runs or is installed there; 4 no such tenant, key, user, "
    "segment, campaign, template or decision; 5 refused as it conflicts with what exists; 6 did not become ready."
)
