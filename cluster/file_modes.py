"""What an installation's files allow to whom."""

from __future__ import annotations

PRIVATE = 0o077
"""The umask of every process of an installation: what it writes, wherever that lies, is its owner's alone."""
