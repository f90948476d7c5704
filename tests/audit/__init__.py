"""Known holes in what is installed, secrets in the repository, and the list of what the product consists of.

``make audit`` runs it: `python -m tests.audit advisories`, `secrets` and `sbom`, next to bandit, whose configuration is in
``pyproject.toml``. What was found, looked at, and left as it is has its reason in ``accepted.toml``.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ACCEPTED = Path(__file__).with_name("accepted.toml")


def accepted(kind: str) -> dict[str, str]:
    """Return what is accepted of a kind (`advisories`, `secrets`), each with its reason."""
    given: dict[str, str] = tomllib.loads(ACCEPTED.read_text()).get(kind, {})
    for what, reason in given.items():
        if len(reason.split()) < 2:
            raise ValueError(f"{ACCEPTED.name}: {what} is accepted without a reason; write one")
    return given
