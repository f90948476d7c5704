"""Dispatches for tests: every field has a plausible value, and says so when it is another."""

from __future__ import annotations

from typing import Any

from whisperer.decisions.decision import send_key
from whisperer.delivery.dispatch import Dispatch

PARTS = {
    "email": {"subject": "Hello Ada", "text": "Hello,\nAda", "html": "<p>Hello, Ada</p>"},
    "sms": {"text": "Hello Ada"},
    "push": {"title": "Hello", "body": "Ada"},
    "webhook": {"body": '{"hello": "Ada"}'},
}
ADDRESSES = {"email": "ada@example.com", "sms": "+4915112345678", "push": "token-1", "webhook": "u:ada"}


def dispatch(number: int = 0, channel: str = "email", **fields: Any) -> Dispatch:
    decision = fields.pop("decision_id", f"dec_{number}")
    return Dispatch(
        **{
            "send_key": send_key(decision),
            "decision_id": decision,
            "tenant": "tn_1",
            "user_key": "u:ada",
            "campaign": "welcome",
            "channel": channel,
            "address": ADDRESSES.get(channel, "x"),
            "parts": PARTS.get(channel, {}),
            "headers": {},
            "locale": "de",
            "content_hash": "c0ffee",
            "attempt": 0,
            "decided_at": 1_700_000_000_000,
            **fields,
        }
    )
