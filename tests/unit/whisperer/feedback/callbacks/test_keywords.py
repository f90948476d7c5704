"""What a reply asks for, in the languages of the product."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.feedback.callbacks.keywords import MAX_CHARS, WORDS, keyword_of, plain
from whisperer.feedback.callbacks.spec import Keyword

LOCALES = {"en", "de", "fr", "es", "pt-BR", "it", "nl", "pl", "ru", "tr", "ar", "he", "ja", "zh-Hans", "ko", "hi"}
EVERY = [(word, meaning) for by_meaning in WORDS.values() for meaning, words in by_meaning.items() for word in words]


def test_every_language_can_stop_start_and_ask_for_help() -> None:
    assert set(WORDS) == LOCALES
    assert all(set(by_meaning) == set(Keyword) and all(by_meaning.values()) for by_meaning in WORDS.values())


@pytest.mark.parametrize(("word", "meaning"), EVERY)
def test_a_word_is_understood_however_it_is_written(word: str, meaning: Keyword) -> None:
    for written in (word, word.upper(), word.capitalize(), f"  {word} !", f"{word}.", f"\u200f«{word}»\n"):
        assert keyword_of(written) is meaning, written


def test_no_word_means_two_things() -> None:
    meanings: dict[str, set[Keyword]] = {}
    for word, meaning in EVERY:
        meanings.setdefault(plain(word), set()).add(meaning)
    assert {word for word, found in meanings.items() if len(found) > 1} == set()


@pytest.mark.parametrize(
    "text", ["please don't stop", "stop it and call me", "non-stop", "bus stop", "", "!!!", "no", "ok", "fine", "N"]
)
def test_a_sentence_asks_for_nothing(text: str) -> None:
    assert keyword_of(text) is None


@given(st.text(max_size=2 * MAX_CHARS))
def test_any_text_is_a_keyword_or_none(text: str) -> None:
    assert keyword_of(text) in (None, *Keyword)
