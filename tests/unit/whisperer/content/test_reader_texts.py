"""What the product says to readers is there in every language, whole and written in the right direction."""

from __future__ import annotations

import re

import pytest

from tests.unit.whisperer.content.requests import UNSUBSCRIBE
from whisperer.content.footer import with_footer
from whisperer.content.locales import direction, language
from whisperer.content.reader_texts import LOCALES, reader_texts, readers_locale

SCRIPTS = {
    "ru": "[а-я]",
    "ar": "[\u0600-\u06ff]",
    "he": "[\u0590-\u05ff]",
    "ja": "[\u3040-\u30ff\u4e00-\u9fff]",
    "zh-Hans": "[\u4e00-\u9fff]",
    "ko": "[\uac00-\ud7a3]",
    "hi": "[\u0900-\u097f]",
}


def test_no_text_is_missing_in_any_language() -> None:
    assert tuple(reader_texts()) == LOCALES
    names = set(reader_texts()["en"])
    for locale, texts in reader_texts().items():
        assert set(texts) == names, locale
        assert all(text.strip() == text and text for text in texts.values()), locale
        if locale in SCRIPTS:
            assert all(re.search(SCRIPTS[locale], text) for text in texts.values()), locale
        elif locale != "en":
            assert not set(texts.values()) & set(reader_texts()["en"].values()), locale


@pytest.mark.parametrize("locale", LOCALES)
def test_the_footer_is_in_the_language_of_the_message(locale: str) -> None:
    html = with_footer("html", "<p>x</p>", locale, UNSUBSCRIBE)
    assert f'lang="{locale}" dir="{direction(locale)}"' in html
    assert with_footer("text", "x", locale, UNSUBSCRIBE).endswith(UNSUBSCRIBE)


@pytest.mark.parametrize(
    ("tags", "wanted"),
    [
        (["de-AT"], "de"),
        (["pt"], "pt-BR"),
        (["pt-PT"], "pt-BR"),
        (["zh"], "zh-Hans"),
        (["zh-TW"], "zh-Hans"),
        (["iw"], "he"),
        (["sv", "nb", "it-CH"], "it"),
        (["xx-nonsense", ""], "en"),
        ([], "en"),
    ],
)
def test_a_reader_gets_the_nearest_language(tags: list[str], wanted: str) -> None:
    assert readers_locale(tags) == wanted


def test_right_to_left_is_said_for_arabic_and_hebrew_alone() -> None:
    assert {language(one) for one in LOCALES if direction(one) == "rtl"} == {"ar", "he"}
