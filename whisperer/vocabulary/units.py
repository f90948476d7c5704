"""Give units of time in milliseconds, and the fraction that money and rewards are counted in."""

from __future__ import annotations

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
MICROS = 1_000_000
"""Micro-units in one unit of money or reward: sums of integers are exact, whatever the order."""
