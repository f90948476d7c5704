"""docs/campaigns.md and docs/api.md say what the code does."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import whisperer.journeys.errors
from serve_apps.gateway.http import exchange
from serve_apps.gateway.services.decisions import ANSWER_WITHIN_S, MAX_USERS
from whisperer.delivery.senders import MAX_NAME_CHARS, MAX_REPLY_TO_CHARS
from whisperer.journeys import limits
from whisperer.journeys.campaign import STATUSES
from whisperer.journeys.engagement import DecisionStatus
from whisperer.journeys.errors import CampaignError
from whisperer.journeys.parse import FIELDS, PERIODS, SCOPES, TRIGGERS, parse_campaign
from whisperer.journeys.schema import EXAMPLE

DOCS = Path(__file__).parents[4] / "docs"
CAMPAIGNS = (DOCS / "campaigns.md").read_text()
API = (DOCS / "api.md").read_text()


def blocks(kind: str) -> list[str]:
    return re.findall(rf"^```json {kind}\n(.*?)^```", CAMPAIGNS, re.M | re.S)


def test_the_example_is_the_one_of_the_schema_and_is_taken() -> None:
    (written,) = map(json.loads, blocks("campaign"))
    assert parse_campaign(written, "welcome") == parse_campaign(EXAMPLE, "welcome")


def test_the_bodies_of_the_whole_example_are_taken() -> None:
    for text in re.findall(r"-d '(\{\n.*?\})'$", CAMPAIGNS, re.M | re.S):
        body = json.loads(text)
        if "trigger" in body:
            parse_campaign({k: v for k, v in body.items() if k not in ("name", "publish")}, body["name"])
        else:
            from whisperer.content.template import parse_template

            parse_template({k: v for k, v in body.items() if k != "name"})


def test_the_example_with_a_sender_is_taken_and_its_limits_are_those_that_hold() -> None:
    (written,) = map(json.loads, blocks("sender"))
    read = parse_campaign(written, "welcome")
    assert read.sender_of("tips") == ("Acme, Inc.", "Acme Support <help@acme.example>")
    assert read.sender_of("personal") == ("Ada from Acme", "ada@acme.example")
    assert f"1 to {MAX_NAME_CHARS} characters" in CAMPAIGNS
    assert f"at most {MAX_REPLY_TO_CHARS} characters" in CAMPAIGNS


def test_the_problems_of_the_wrong_example_are_those_of_the_table() -> None:
    (wrong,) = map(json.loads, blocks("invalid"))
    with pytest.raises(CampaignError) as caught:
        parse_campaign(wrong, "welcome")
    for problem in caught.value.errors:
        assert f"| `{problem['pointer']}` | `{problem['code']}` | {problem['message']} |" in CAMPAIGNS


def test_every_field_word_and_limit_is_documented() -> None:
    for word in (
        *FIELDS,
        *TRIGGERS,
        *PERIODS,
        *SCOPES,
        *STATUSES,
        DecisionStatus.DECIDING,
        DecisionStatus.SENDING,
        DecisionStatus.SENT,
        DecisionStatus.NO_SEND,
        DecisionStatus.REFUSED,
    ):
        assert word in CAMPAIGNS, word
    for told in (
        f"1 to {limits.MAX_ARMS}, each",
        f"Up to {limits.MAX_CAPS};",
        f"at most {limits.MAX_WINDOW_S // 86_400} days",
        f"up to {limits.MAX_OFFER_BYTES:,} bytes, {limits.MAX_OFFER_VALUES} values and {limits.MAX_OFFER_DEPTH} levels",
        f"(1 to {limits.MAX_MOST})",
        f"at most {limits.MAX_CAP_HOURS:,.0f})",
        f"up to {MAX_USERS:,}",
        f"longer than {ANSWER_WITHIN_S:.0f} s",
    ):
        assert told in CAMPAIGNS, told
    assert f"at most {exchange.MAX_BODY_BYTES // 1024} KB" in API


def test_every_code_is_documented() -> None:
    known = re.findall(r"``(\w+)``", (whisperer.journeys.errors.__doc__ or "").partition("Codes")[2])
    assert "unknown_template" in known
    for code in known:
        if code.startswith("/"):
            continue
        assert f"`{code}`" in CAMPAIGNS, code
