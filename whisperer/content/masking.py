"""Put a plain word in the place of each piece of Liquid in a text, so that readers of HTML, CSS and MJML keep it whole.

Liquid may hold quotes, angle brackets and braces, and may stand anywhere: in an attribute, around a table's rows, in a
style sheet. What goes through another program does so masked. Guarantees: a word is made of lower-case ASCII letters
and digits, begins with a letter (so it is a CSS identifier, an attribute's name and text alike), and does not occur in
the source; unmasking what was masked gives the source.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LIQUID = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Masked:
    """Hold a masked text.

    Attributes
    ----------
    text : the source with a word for each piece of Liquid
    pieces : the Liquid, in order; word n stands for piece n
    words : matches one word; its group is n
    """

    text: str
    pieces: tuple[str, ...]
    words: re.Pattern[str]

    def unmasked(self, text: str) -> str:
        """Return a text with the Liquid back in the place of its words."""
        return self.words.sub(lambda found: self.pieces[int(found[1])], text)

    def place(self, offset: int) -> tuple[int, int]:
        """Return the line and column in the source, from 1, of an offset into the masked text."""
        source = self.unmasked(self.text[:offset])
        return place(source, len(source))


def masked(source: str) -> Masked:
    """Return a text with its Liquid masked.

    >>> one = masked('<a href="{{ user.site | default: "x" }}">')
    >>> one.text, one.unmasked(one.text)
    ('<a href="wq0z">', '<a href="{{ user.site | default: "x" }}">')
    """
    prefix = "wq"
    while prefix in source:
        prefix += "q"
    pieces: list[str] = []
    written: list[str] = []
    at = 0
    for found in _LIQUID.finditer(source):
        word = f"{prefix}{len(pieces)}z"
        pieces.append(found[0])
        written += (source[at : found.start()], word)
        at = found.end()
    written.append(source[at:])
    return Masked("".join(written), tuple(pieces), re.compile(rf"{prefix}(\d+)z"))


def place(source: str, offset: int) -> tuple[int, int]:
    """Return the line and column, from 1, of an offset into a text.

    >>> place("ab\\ncd", 4)
    (2, 2)
    """
    before = source.rfind("\n", 0, offset)
    return source.count("\n", 0, offset) + 1, offset - before
