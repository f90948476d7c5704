"""Define what a marketer asks a model for."""

from __future__ import annotations

import re

import msgspec

MAX_BRIEF_CHARS = 2_000
MAX_FACTS = 16
MAX_FACT_CHARS = 100
MIN_CHARS, MAX_CHARS = 20, 2_000
DEFAULT_CHARS = 400

SOURCES = ("user", "features", "event", "offer", "brand", "campaign", "arm")
"""Variables whose values a brief may name."""
_FACT = re.compile(rf"(?:{'|'.join(SOURCES)})(?:\.[\w -]+)*")


class Brief(msgspec.Struct, frozen=True):
    """Say what to write.

    Attributes
    ----------
    text : in the author's words, in any language
    facts : values that the model may know, as templates name them, such as ``user.plan``
    max_chars : the most that one slot may have
    """

    text: str
    facts: tuple[str, ...] = ()
    max_chars: int = DEFAULT_CHARS


def fact_problem(name: str) -> str | None:
    """Return what is wrong with the name of a fact, or None.

    >>> fact_problem("user.plan"), fact_problem("secrets.key") is None
    (None, False)
    """
    if len(name) > MAX_FACT_CHARS or not _FACT.fullmatch(name):
        return f"a fact is named as in a template, such as user.plan or offer.percent; it is of {', '.join(SOURCES)}"
    return None
