"""Holds the larger examples of the OpenAPI document: answers that many calls give, or that have many members.

A test makes each call with the document's examples and compares what is answered with what is shown here.
"""

from typing import Any

from whisperer.journeys.schema import EXAMPLE as DEFINITION

AT, LATER = "2026-01-31T09:00:00.000Z", "2026-01-31T10:00:00.000Z"

CAMPAIGN: dict[str, Any] = {
    "name": "trial-welcome",
    "version": 1,
    "status": "live",
    "draft_version": None,
    "etag": '"trial-welcome.1"',
    "description": "When Trial Started: tips, offer or nudge, for Subscription Started within 72 hours",
    "compressed": False,
    "created_at": AT,
    "published_at": AT,
    "changed_at": AT,
    "definition": DEFINITION,
    "template_versions": {"tips-email": 1, "offer-email": 1, "nudge-push": 1},
    "counts": {
        "candidates": 1_200,
        "sent": 900,
        "unknown": 1,
        "no_send": 240,
        "pending": 2,
        "conversions": 96,
        "refused": {"frequency_cap": 58},
    },
}
_NOT_YET = {"not_yet": "the holdout has no user whose window closed", "reason": "no_users"}
REPORT: dict[str, Any] = {
    **{name: value for name, value in CAMPAIGN.items() if name != "counts"},
    "since": AT,
    **CAMPAIGN["counts"],
    "outcomes": {"opened": 310, "clicked": 120},
    "groups": [
        {"group": "policy", "users": 1_000, "mean": 0.08},
        {"group": "uniform", "users": 60, "mean": 0.07},
        {"group": "holdout", "users": 60, "mean": 0.05},
    ],
    "conflicted_users": 0,
    "lift": _NOT_YET,
    "uniform_lift": _NOT_YET,
    "sample_ratio": {
        "p_value": 0.41,
        "suspicious": False,
        "shares": {"holdout": 0.05, "uniform": 0.05, "policy": 0.9},
    },
    "budget": [
        {
            "begins_at": AT,
            "ends_at": "2026-02-01T09:00:00.000Z",
            "amount": 25.0,
            "granted": 10.0,
            "spent": 9.5,
            "price": 1.2,
            "withheld": 3,
        }
    ],
    "arms": [
        {
            "group": "policy",
            "arm": "tips",
            "decisions": 600,
            "sent": 580,
            "converted": 52,
            "reward_micros": 52_000_000,
            "reward": 52.0,
        }
    ],
}
_ANYTIME = {"difference": 0.03, "low": 0.01, "high": 0.05, "level": 0.95, "decided": True}
LIFT_DAYS: dict[str, Any] = {
    "name": "trial-welcome",
    "as_of": AT,
    "window_s": 259_200.0,
    "conflicted_users": 0,
    "data": [
        {
            "day": "2026-01-30",
            "groups": [{"group": "policy", "joined": 40, "users": 1_000, "mean": 0.08}],
            "lift": _ANYTIME,
            "uniform_lift": _NOT_YET,
            "over_uniform": _NOT_YET,
            "sample_ratio": {"p_value": 0.41, "suspicious": False},
        }
    ],
}

QUALITY: dict[str, Any] = {
    "name": "trial-welcome",
    "as_of": AT,
    "days": 90,
    "scored": 1200,
    "mean": 4.61,
    "calibrated": 4.72,
    "arms": [
        {
            "arm": "tips",
            "channel": "email",
            "locale": "de",
            "scored": 1200,
            "mean": 4.61,
            "calibrated": 4.72,
            "lowest": [{"criterion": "readability", "mark": 0.71}],
        }
    ],
}

DRAFT: dict[str, Any] = {
    "kind": "template",
    "name": "tips-email",
    "etag": '"tips-email.draft.51ab"',
    "content": {},
    "live": 1,
    "created_at": AT,
    "changed_at": AT,
    "changed_by": "ada@example.com",
    "review": None,
    "review_state": None,
}
DIFFERENCE: dict[str, Any] = {
    "kind": "template",
    "name": "tips-email",
    "from": None,
    "to": "draft",
    "changes": [{"pointer": "", "op": "added", "after": {"channel": "email"}}],
    "truncated": False,
}
REVISION: dict[str, Any] = {
    "version": 1,
    "at": AT,
    "by": "ada@example.com",
    "review": None,
    "rolled_back_to": None,
    "live": True,
}
REVIEW: dict[str, Any] = {
    "id": "rv_0f6jkq2w1m9r4v7x3s8c5b",
    "kind": "template",
    "name": "tips-email",
    "state": "open",
    "note": "shorter, as support asked",
    "etag": '"tips-email.draft.51ab"',
    "base": None,
    "requested_by": "ada@example.com",
    "requested_at": AT,
    "decided_by": None,
    "decided_at": None,
    "reason": None,
}

VERSION: dict[str, Any] = {
    "version": 2,
    "status": "registered",
    "digest": "51ab",
    "kind": "value",
    "created_at": AT,
    "registered_at": LATER,
    "data": {"from": "2025-12-01T00:00:00.000Z", "to": "2026-01-30T00:00:00.000Z", "rows": 48_000},
    "code_version": "1.0.0",
    "features": ["recency_days", "events_30d"],
    "feature_registry": "9f2c",
    "parameters": {"trees": 120},
    "metrics": {"lift": 0.021},
    "files": [{"path": "model.ubj", "size_bytes": 52_480, "blake2b": "0f" * 32}],
}
_POLICY: dict[str, Any] = {
    "name": "offers",
    "live": 0,
    "candidate": 2,
    "stage": "shadow",
    "share": 0.0,
    "since": LATER,
    "past": [],
    "needs": {"hours": 24.0, "decisions": 1_000},
    "tallies": {},
    "tallied_at": None,
    "etag": '"offers.3"',
}
POLICY = _POLICY | {"versions": [VERSION]}
LISTED_POLICY = _POLICY | {"versions": 1}
POLICY_EVENT: dict[str, Any] = {
    "serial": 2,
    "at": LATER,
    "action": "promoted",
    "version": 2,
    "before": "registered",
    "after": "shadow",
    "live": 0,
    "by": "ada@example.com",
    "reason": "on we go",
    "evidence": None,
    "review": None,
}

DECISION: dict[str, Any] = {
    "decision_id": "dec_0f6jkq2w1m9r4v7x3s8c5b2n0d",
    "user_id": "u-17",
    "campaign": "trial-welcome",
    "campaign_version": 1,
    "status": "sending",
    "reason": None,
    "reason_text": None,
    "refused_arms": {"nudge": "no_address"},
    "group": "policy",
    "arm": "tips",
    "propensity": 0.61,
    "policy_version": "trial-welcome@42",
    "occurrence": "order-1001",
    "at": AT,
}
AUDIT: dict[str, Any] = {
    "id": DECISION["decision_id"],
    "user_key": "u:u-17",
    "user_id": "u-17",
    "campaign": "trial-welcome",
    "campaign_version": 1,
    "trigger": "request",
    "occurrence": "order-1001",
    "at": AT,
    "status": "sent",
    "reason": None,
    "refused_arms": {},
    "group": "policy",
    "features": {"recency_days": 0.5},
    "arms": ["no_send", "tips"],
    "arm": "tips",
    "chosen_at": AT,
    "propensity": 0.61,
    "propensities": [0.39, 0.61],
    "means": [0.05, 0.08],
    "spreads": [0.02, 0.02],
    "seed": 7,
    "policy_version": "trial-welcome@42",
    "scores": [],
    "shadow": [0.0, 0.5],
    "shadow_version": "trial-welcome@43",
    "template": "tips-email@1",
    "offer": None,
    "send": {
        "send_key": "snd_0f6jkq2w1m9r4v7x3s8c5b2n0d",
        "channel": "email",
        "attempts": 1,
        "next_at": None,
        "last_error": None,
        "provider": "sink",
        "provider_id": "12",
        "content_hash": "9f2c",
        "locale": "en",
        "sent_at": LATER,
        "unknown": False,
    },
    "outcomes": [{"at": LATER, "kind": "opened", "detail": None, "value_micros": 0}],
    "mature_at": "2026-02-03T09:00:00.000Z",
    "matured": False,
    "reward_micros": 0,
    "reward": 0.0,
    "price": None,
    "reason_text": None,
}

PROFILE: dict[str, Any] = {
    "user_id": "u-17",
    "anonymous_ids": ["a-3"],
    "previous_ids": [],
    "refused_anonymous_ids": [],
    "traits": {"email": "ann@example.com", "plan": "trial"},
    "traits_held": {"names": 2, "bytes": 41, "most_names": 1_000, "most_bytes": 65_536},
    "features": {"recency_days": 0.5, "events_30d": 12},
    "scores": {"churn": 0.25, "engagement": 0.4, "model": "scores@3", "at": AT},
    "event_counts": {"Trial Started": 1},
    "segments": ["regulars"],
    "timeline": [
        {
            "type": "track",
            "timestamp": AT,
            "event": "Trial Started",
            "message_id": "m-1",
            "received_at": AT,
            "properties": {"plan": "trial"},
        }
    ],
    "first_seen": AT,
    "last_seen": LATER,
    "time_zone": "Europe/Berlin",
    "locale": "en",
    "partition": 17,
    "group": {"group": "policy", "at": AT, "conflicted": False},
    "consent": [{"channel": "email", "purpose": "marketing", "granted": True, "at": AT, "source": "api"}],
    "suppressed": [{"channel": "sms", "at": AT, "reason": "unsubscribed"}],
    "sends": [{"at": LATER, "campaign": "trial-welcome", "channel": "email", "send_key": AUDIT["send"]["send_key"]}],
    "candidacies": [AUDIT],
}
INBOX_MESSAGE: dict[str, Any] = {
    "id": DECISION["decision_id"],
    "campaign": "trial-welcome",
    "locale": "en",
    "kind": "card",
    "title": "Three tips to begin with",
    "body": "Invite your team, Ada.",
    "image": "https://app.example.com/tips.png",
    "actions": [{"label": "Invite", "url": "https://app.example.com/team"}],
    "state": "unread",
    "archived": False,
    "sent_at": "2026-01-31T09:00:00.000Z",
    "expires_at": "2026-02-28T09:00:00.000Z",
    "seen_at": None,
    "read_at": None,
    "archived_at": None,
}

EXPORT: dict[str, Any] = {
    "exported_at": LATER,
    "profile": PROFILE,
    "daily_counts": [{"event": "Trial Started", "day": "2026-01-31", "count": 1}],
    "inbox": [INBOX_MESSAGE],
    "coupons": [
        {
            "pool": "spring",
            "code": "SPRING-7QK2",
            "campaign": "trial-welcome",
            "given_at": "2026-01-31T09:00:00.000Z",
        }
    ],
    "events": [],
    "decisions": [],
    "deliveries": [],
    "outcomes": [],
    "rewards": [],
}

SIMULATION: dict[str, Any] = {
    "id": "sim_01kdq3m5v7",
    "campaign": "trial-welcome",
    "status": "running",
    "started_at": AT,
    "finished_at": None,
    "progress": {"events": 12_000, "of": 48_000},
    "error": None,
    "result": None,
}
