"""Defines who may read what an installation writes."""

from __future__ import annotations

PRIVATE = 0o077
"""The umask of every process of an installation: only its owner can read what it writes, wherever that is."""
