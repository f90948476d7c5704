"""Which of a template's languages a reader gets."""

from __future__ import annotations

import pytest

from whisperer.content.locales import direction, fallbacks, lookup


@pytest.mark.parametrize(
    ("reader", "available", "found"),
    [
        ("zh-TW", ["zh", "zh-Hant"], "zh-Hant"),
        ("zh_HK", ["zh", "zh-Hant"], "zh-Hant"),
        ("zh-CN", ["zh", "zh-Hant"], "zh"),
        ("zh_CN_#Hans", ["zh", "zh-Hant"], "zh"),
        ("zh_TW_#Hant", ["zh", "zh-TW"], "zh-TW"),
        ("zh-Hant-TW", ["zh-TW"], "zh-TW"),
        ("sr-ME", ["sr", "sr-Latn"], "sr-Latn"),
        ("sr-RS", ["sr", "sr-Latn"], "sr"),
        ("iw_IL", ["en", "he"], "he"),
        ("in_ID", ["id"], "id"),
        ("no", ["nb"], "nb"),
        ("tl", ["fil"], "fil"),
        ("en-rGB", ["en"], "en"),
        ("pt-BR", ["pt-PT"], "default"),
        ("", ["en"], "default"),
    ],
)
def test_a_reader_gets_the_nearest_language(reader: str, available: list[str], found: str) -> None:
    assert lookup(reader, available, "default") == found


def test_fallbacks_are_of_a_known_tag_only_and_end_in_its_language() -> None:
    assert list(fallbacks("zh-Hant-TW")) == ["zh-Hant-TW", "zh-TW", "zh-Hant", "zh"]
    assert list(fallbacks("klingon")) == []


@pytest.mark.parametrize(
    ("tag", "way"), [("he", "rtl"), ("ar-EG", "rtl"), ("az-Arab", "rtl"), ("ar-Latn", "ltr"), ("de", "ltr")]
)
def test_direction(tag: str, way: str) -> None:
    assert direction(tag) == way
