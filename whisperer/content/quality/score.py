"""Score a message, or a template in each of its languages, by the rubric."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec

from whisperer.content.quality.rubric import MOST, RUBRIC, Read


class Score(msgspec.Struct, frozen=True):
    """Hold a message's score, in [0, 5], and the mark of each criterion, in [0, 1]."""

    score: float
    marks: dict[str, float]


def score(channel: str, locale: str, parts: Mapping[str, str], banned_claims: Iterable[str] = ()) -> Score:
    """Return the score of a rendered message.

    >>> score("sms", "en", {"text": "Hi {{ user.name }}, your projects are waiting: https://a.example/p"}).score <= 1
    True
    """
    read = Read(channel, locale, parts, tuple(banned_claims))
    marks = {criterion.name: criterion.mark(read) for criterion in RUBRIC}
    found = MOST * sum(criterion.weight * marks[criterion.name] for criterion in RUBRIC)
    for criterion in RUBRIC:
        found = min(found, criterion.cap + (MOST - criterion.cap) * marks[criterion.name])
    return Score(round(found, 2), {name: round(mark, 3) for name, mark in marks.items()})
