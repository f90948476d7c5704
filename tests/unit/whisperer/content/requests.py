"""A request as a shard would make it, a maker of links that can be read, and short ways to a rendered message."""

from __future__ import annotations

import json
from typing import Any

from whisperer.content.message import NotRendered, Rendered, RenderRequest
from whisperer.content.render import render
from whisperer.content.template import parse_template
from whisperer.vocabulary.channels import CHANNELS

NOW = 1_772_359_200_000  # 2026-03-01T10:00:00Z
UNSUBSCRIBE = "https://go.example/m/u/SECRET"


class ReadableLinks:
    """Links that say what they are."""

    def __init__(self, unsubscribe_url: str = UNSUBSCRIBE) -> None:
        self.clicks: list[str] = []
        self.unsubscribe_url = unsubscribe_url

    def click(self, url: str) -> str:
        self.clicks.append(url)
        return f"https://go.example/m/c/{len(self.clicks)}"

    def open(self) -> str:
        return "https://go.example/m/o/1"

    def unsubscribe(self) -> str:
        return self.unsubscribe_url


def request(traits: dict[str, Any] | None = None, **more: Any) -> RenderRequest:
    fields: dict[str, Any] = {
        "send_key": "snd_1",
        "decision_id": "dec_1",
        "tenant": "tn_1",
        "user_key": "u:ada",
        "campaign": "welcome",
        "channel": "sms",
        "template": "hello",
        "template_version": 1,
        "variant": "arm-1",
        "offer": b"null",
        "locale": "en-US",
        "zone": "UTC",
        "traits": {name: json.dumps(value).encode() for name, value in (traits or {"name": "Ada"}).items()},
        "features": {"events_7d": 3.0, "trend": 0.5, "gap_mean_days": float("nan")},
        "event": b"",
        "address": "ada@example.com",
        "purpose": "marketing",
        "now": NOW,
    }
    return RenderRequest(**{**fields, **more})


def template(channel: str, missing: str = "refuse", **parts: str) -> dict[str, Any]:
    assert set(parts) <= set(CHANNELS[channel].part_names)
    return {"channel": channel, "locales": {"en": parts}, "missing": missing}


def sent(
    definition: dict[str, Any], asked: RenderRequest | None = None, links: ReadableLinks | None = None
) -> Rendered | NotRendered:
    asked = asked or request(channel=definition["channel"])
    return render(parse_template(definition), asked, links or ReadableLinks())


def parts(
    definition: dict[str, Any], asked: RenderRequest | None = None, links: ReadableLinks | None = None
) -> dict[str, str]:
    found = sent(definition, asked, links)
    assert isinstance(found, Rendered), found
    return found.parts


def sms(text: str, traits: dict[str, Any] | None = None, missing: str = "refuse", **more: Any) -> str:
    return parts(template("sms", missing, text=text), request(traits, **more))["text"]


def refused(definition: dict[str, Any], asked: RenderRequest | None = None) -> NotRendered:
    found = sent(definition, asked)
    assert isinstance(found, NotRendered), found
    return found
