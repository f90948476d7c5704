"""Limit how large a campaign may be. A larger one is refused, naming the limit, before any work is spent on it."""

from __future__ import annotations

from whisperer.eligibility.standing import MAX_SENDS, RETAIN_SENDS_MS

NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}"
"""Pattern for the names of campaigns, arms, templates, segments and purposes, as in the control plane."""

MAX_ARMS = 15
MAX_CAPS = 8
MAX_WINDOW_S = 90 * 86_400
MAX_AMOUNT = 1_000_000_000  # of a cap or a cost; in millionths it fits 63 bits many times over
MAX_BUDGET_DAYS = 92
MAX_CRON = 100  # characters
MAX_MOST = MAX_SENDS  # more messages than that are not remembered
MAX_CAP_HOURS = RETAIN_SENDS_MS / 3_600_000
MAX_OFFER_DEPTH = 8
MAX_OFFER_VALUES = 256
MAX_OFFER_BYTES = 4_096
