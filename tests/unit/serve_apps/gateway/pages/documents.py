"""Live documents for tests of the home page: a busy installation with every state a row can be in, and a new one."""

from __future__ import annotations

from typing import Any

from serve_apps.gateway.metrics.documents import DemoView, EventView, SegmentView, ShardView, TenantView
from serve_apps.gateway.pages import LiveView

NOW = 1_795_406_400_000  # 2026-11-23T04:00:00Z

_EVENTS = (
    ("track", "Report Exported", "u:ada", 300),
    ("page", "$page", "a:6f9619ff-8b86-d011-b42d-00c04fc964ff", 900),
    ("identify", "$identify", "u:grace@example.com", 1_400),
    ("track", "Order Completed", "u:00000000-0000-4000-8000-000000004711", 62_000),
    ("track", "Feature Used", "u:linus", 7_300_000),
    ("track", "Subscription Renewed at the Turn of the Year by Invoice", "u:barbara", 90_000_000),
    ("screen", "$screen", "a:mobile-7", 400_000_000),
    ("track", "Imported Purchase", "u:17850", 9_000_000_000),
    ("group", "$group", "u:ada", 9_100_000_000),
    ("alias", "$alias", "u:ada", 9_200_000_000),
)


def put(document: Any, **fields: Any) -> None:
    """Change fields of a document in place."""
    for name, value in fields.items():
        setattr(document, name, value)


def busy() -> LiveView:
    return LiveView(
        version="0.1.0",
        now=NOW,
        started_at=NOW - 7_300_000,
        events_per_s=1240.4,
        events_accepted=18_429_116,
        events_duplicate=3_207,
        events_rejected={"missing_identity": 41, "event_too_large": 3, "malformed_json": 112},
        users=204_118,
        tenants=[TenantView("demo", 204_100, 18_429_000), TenantView("acme", 18, 116)],
        segments=[
            SegmentView("demo", "Slipping away", "On a paid plan, not seen for 14 days", 8_213, None),
            SegmentView("demo", "Power users", "Exported a report at least 5 times in 7 days", 1_977, 0.62),
            SegmentView("acme", "Trial", "", 0, None),
        ],
        shards=[
            ShardView("shard-0", 41_213, 3, 9_214_558, 102_060, 412_300_000, "serving", 64, 3_411_000_000),
            ShardView("shard-1", None, 4, None, None, None, "recovering", 64, 3_398_000_000),
        ],
        latest=[
            EventView("demo", kind, name, user, NOW - age_ms, NOW - 200 * i)
            for i, (kind, name, user, age_ms) in enumerate(_EVENTS)
        ],
        demo=DemoView("demo", "wk_demo_7h3kq0r9"),
        dashboard_url="http://127.0.0.1:8265",
        warnings=["shard-1 is recovering"],
    )


def new_installation() -> LiveView:
    return LiveView(
        version="0.1.0",
        now=NOW,
        started_at=NOW,
        events_per_s=0.0,
        events_accepted=0,
        events_duplicate=0,
        events_rejected={},
        users=0,
        tenants=[],
        segments=[],
        shards=[],
        latest=[],
        demo=None,
        dashboard_url=None,
        warnings=[],
    )
