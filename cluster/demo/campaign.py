"""The demo's one campaign, as a caller's JSON, and the names that its simulator needs to take part.

Time is compressed: a window of half a minute stands for the days that a person would take. The campaign's name says so,
so that nobody takes the figures on the pages for those of a real product. There are no quiet hours: in compressed time
a night would last the whole demo.
"""

from __future__ import annotations

from typing import Any

NAME = "feature-adoption-compressed-time"
TRIGGER_EVENT = "Session Started"
GOAL_EVENT = "Feature Adopted"
WINDOW_S = 30

HOLDOUT, UNIFORM = 0.10, 0.10
"""Twice the usual shares: a demo is watched for minutes, and its first interval should appear within two."""

CAMPAIGN: dict[str, Any] = {
    "trigger": {"event": TRIGGER_EVENT},
    "audience": {"trait": "email", "op": "exists"},
    "goal": {"event": GOAL_EVENT, "window_s": WINDOW_S, "reward": "conversion", "unsubscribe_cost": 0.5},
    "purpose": "marketing",
    "arms": [
        {"id": "tips-email", "channel": "email", "template": "tips-email", "cost": 0.002},
        {"id": "offer-email", "channel": "email", "template": "offer-email", "offer": {"percent": 20}, "cost": 0.03},
        {"id": "nudge-sms", "channel": "sms", "template": "nudge-sms", "cost": 0.02},
        {"id": "nudge-push", "channel": "push", "template": "nudge-push", "cost": 0.001},
    ],
    "caps": [
        {"most": 1, "per": "rolling", "hours": 0.05, "scope": "campaign"},
        {"most": 8, "per": "rolling", "hours": 1.0, "scope": "tenant"},
    ],
    "quiet_hours": None,
}
"""Nudges a returning user to try a feature. The caps' hours are compressed too: 0.05 is three minutes, about nine hours
of a person's life in the simulation.
"""
