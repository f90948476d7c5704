"""Say how easily a text is read, from 0 (hard) to 1, by what is known for its language.

Where a published formula of Flesch's kind exists (sentence length and syllables), it is used with its own constants;
for the other languages of alphabets, sentence and word lengths against what is usual in that language; where words have
no spaces between them, the characters of a sentence. Messages are short: from the second sentence on a formula says
something, of a single short one only its length does.

References
----------
en: Flesch 1948. de: Amstad 1978. fr: Kandel and Moles 1958. es: Fernández Huerta 1959. it: Franchina and Vacca 1972.
nl: Douma 1960. pt: Martins et al. 1996. ru: Oborneva 2006. tr: Ateşman 1997.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from whisperer.content.locales import language


class Formula(NamedTuple):
    """``base - per_sentence * words per sentence - per_word * syllables per word``, about 0 (hard) to 100 (easy)."""

    base: float
    per_sentence: float
    per_word: float


FORMULAS: dict[str, Formula] = {
    "en": Formula(206.835, 1.015, 84.6),
    "de": Formula(180.0, 1.0, 58.5),
    "fr": Formula(207.0, 1.015, 73.6),
    "es": Formula(206.84, 1.02, 60.0),
    "it": Formula(217.0, 1.3, 60.0),
    "nl": Formula(206.84, 0.93, 77.0),
    "pt": Formula(248.835, 1.015, 84.6),
    "ru": Formula(206.835, 1.3, 60.1),
    "tr": Formula(198.825, 2.61, 40.175),
}
EASY, HARD = 55.0, 5.0
"""Points from which a message counts as easy, and to which as unreadable; a mail that names a product of two words
loses about 10 without being any harder."""

USUAL_WORD: dict[str, float] = {"pl": 6.8, "ar": 5.4, "he": 4.6, "hi": 4.6, "ko": 3.4}
"""Mean characters of a word, for languages without a formula here."""
SENTENCE_WORDS = 18.0
"""Words of a sentence that is read in one go; twice as many are hard."""
SENTENCE_CHARS: dict[str, float] = {"ja": 55.0, "zh": 45.0}
"""The same in characters, where words are not separated."""

_SENTENCE = re.compile(r"[.!?…。！？؟۔।]+(?=\s|$|[^\s\d.])|\n+")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_VOWELS: dict[str, re.Pattern[str]] = {
    "en": re.compile(r"[aeiouy]+"),
    "de": re.compile(r"[aeiouyäöü]+"),
    "ru": re.compile(r"[аеёиоуыэюя]"),
    "tr": re.compile(r"[aeıioöuüâîû]"),
}
_ANY_VOWELS = re.compile(r"[aeiouyáàâãäåéèêëíìîïóòôõöúùûüýœæ]+")
_SILENT = re.compile(r"(?<=[^aeiouyl])e$|(?<=[^aeiouydt])ed$")


def readability(text: str, locale: str) -> float:
    """Return how easily a text is read, in [0, 1]; 1 for one too short to be hard.

    >>> readability("Pick up where you left off. It takes two minutes.", "en")
    1.0
    """
    tongue = language(locale)
    sentences = [part for part in _SENTENCE.split(text) if any(char.isalpha() for char in part)]
    if not sentences:
        return 1.0
    if tongue in SENTENCE_CHARS:
        longest = max(sum(char.isalpha() for char in sentence) for sentence in sentences)
        return _falling(longest, SENTENCE_CHARS[tongue], 2.2 * SENTENCE_CHARS[tongue])
    counts = [len(_WORD.findall(sentence)) for sentence in sentences]
    words = _WORD.findall(text)
    if not words:
        return 1.0
    of_longest = _falling(max(counts), 1.5 * SENTENCE_WORDS, 3 * SENTENCE_WORDS)
    formula = FORMULAS.get(tongue)
    if formula is None:
        usual = USUAL_WORD.get(tongue, 5.5)
        mean = sum(map(len, words)) / len(words)
        of_words = _falling(mean, 1.25 * usual, 2 * usual)
        return min(of_words, of_longest) if len(words) >= 8 else of_longest
    if len(words) < 8:
        return of_longest
    per_sentence = len(words) / max(1, sum(count > 0 for count in counts))
    per_word = sum(syllables(word, tongue) for word in words) / len(words)
    points = formula.base - formula.per_sentence * per_sentence - formula.per_word * per_word
    return min(1 - _falling(points, HARD, EASY), of_longest)


def syllables(word: str, tongue: str) -> int:
    """Return about how many syllables a word has, by its groups of vowels.

    >>> syllables("minutes", "en"), syllables("дорога", "ru")
    (3, 3)
    """
    lowered = word.lower()
    if tongue == "en" and len(lowered) > 3:
        lowered = _SILENT.sub("", lowered)
    return max(1, len(_VOWELS.get(tongue, _ANY_VOWELS).findall(lowered)))


def _falling(value: float, good: float, bad: float) -> float:
    """Return 1 up to ``good``, 0 from ``bad`` on, and a line between."""
    return max(0.0, min(1.0, (bad - value) / (bad - good)))
