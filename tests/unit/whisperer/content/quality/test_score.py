"""Scores: what is bad scores low, what is good high, in the order in which a reader would put them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from cluster.demo.templates import demo_templates
from cluster.demo.templates.texts import LOCALES
from whisperer.content.quality.readability import FORMULAS, readability
from whisperer.content.quality.rubric import RUBRIC
from whisperer.content.quality.score import score
from whisperer.content.quality.template_scores import scores_of
from whisperer.content.template import parse_template

RATED: list[dict[str, Any]] = json.loads((Path(__file__).parent / "rated.json").read_text(encoding="utf-8"))
LANGUAGES = ("en", "de", "fr", "es", "ja", "ar")
LEAST_CORRELATION = 0.90
"""docs/quality.md states what it is."""


def scored(message: dict[str, Any]) -> float:
    return score(message["channel"], message["locale"], message["parts"]).score


def correlation(messages: list[dict[str, Any]]) -> float:
    return float(spearmanr([m["rating"] for m in messages], [scored(m) for m in messages]).statistic)


def test_sixty_messages_in_six_languages_are_ranked_as_they_were_rated() -> None:
    assert len(RATED) == 60
    assert {message["locale"] for message in RATED} == set(LANGUAGES)
    assert correlation(RATED) >= LEAST_CORRELATION


@pytest.mark.parametrize("locale", LANGUAGES)
def test_they_are_in_each_language(locale: str) -> None:
    assert correlation([message for message in RATED if message["locale"] == locale]) >= 0.8


def test_the_bad_ones_score_low_and_the_good_ones_high() -> None:
    for message in RATED:
        if message["rating"] <= 1.2:
            assert scored(message) < 2.5, message
        if message["rating"] >= 4:
            assert scored(message) > 4, message


@pytest.mark.parametrize("name", [name for name, body in demo_templates().items() if body["channel"] != "webhook"])
def test_the_demos_templates_score_above_4_in_every_language(name: str) -> None:
    found = scores_of(parse_template(demo_templates()[name]))
    assert [one.locale for one in found.locales] == list(LOCALES)
    for one in found.locales:
        assert one.score is not None, one.why
        assert one.score > 4.0, (one.locale, one.marks)


@given(
    st.sampled_from(["email", "sms", "push", "inapp", "webhook"]),
    st.sampled_from(["en", "de-AT", "ja", "zh-Hans", "ar", "xx", ""]),
    st.dictionaries(st.sampled_from(["subject", "title", "text", "html", "body", "message"]), st.text(max_size=500)),
)
def test_whatever_a_message_is_its_score_lies_between_0_and_5(channel: str, locale: str, parts: dict[str, str]) -> None:
    found = score(channel, locale, parts)
    assert 0 <= found.score <= 5
    assert set(found.marks) == {criterion.name for criterion in RUBRIC}
    assert all(0 <= mark <= 1 for mark in found.marks.values())


def test_a_tenants_banned_claim_costs_nearly_everything() -> None:
    parts = {"text": "Hi Ada, Acme is the best in the world. See your projects: https://app.acme.example/p"}
    assert score("sms", "en", parts).score > 4
    assert score("sms", "en", parts, ("best in the world",)).score <= 0.5


@pytest.mark.parametrize("locale", [*FORMULAS, "pl", "ar", "he", "hi", "ko", "ja", "zh-Hans"])
def test_an_endless_sentence_is_hard_in_every_language(locale: str) -> None:
    word = {
        "ja": "管理者",
        "zh-Hans": "管理员",
        "ko": "관리자가",
        "ar": "المسؤول",
        "he": "המנהל",
        "hi": "प्रशासक",
        "ru": "администратор",
    }
    text = (word.get(locale, "administrator") + ("" if locale in ("ja", "zh-Hans") else " ")) * 70
    assert readability(text, locale) < 0.3


def test_a_template_that_cannot_be_rendered_says_why_and_counts_as_nothing() -> None:
    body = {
        "channel": "sms",
        "locales": {"en": {"text": "{{ user.a | divided_by: 0 }}"}, "de": {"text": "Hallo, bis bald bei uns."}},
    }
    found = scores_of(parse_template(body))
    assert found.locales[0].score is None
    assert found.locales[0].why
    assert found.mean == round((found.locales[1].score or 0) / 2, 2)
