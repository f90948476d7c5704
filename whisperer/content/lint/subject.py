"""Hold what checks look at: one message of a template in one language, as it would be rendered, or as it was.

Of a template the texts have words in the place of Liquid (:mod:`whisperer.content.masking`); of a rendered message they
are what its reader gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from html import unescape

from whisperer.content import limits
from whisperer.content.html_part import HtmlPart, html_part
from whisperer.content.lint.finding import Finding, Severity
from whisperer.content.masking import Masked, masked, place
from whisperer.content.mjml.reader import is_mjml
from whisperer.content.tags import Tag, scan
from whisperer.content.visibility import SHOWN, Visibility, look_of
from whisperer.vocabulary.channels import CHANNELS, Channel

_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_SILENT = frozenset(
    {"style", "script", "title", "textarea", "head", "template", "noembed", "noframes", "xmp", "iframe"}
)


MAX_DEPTH = 100
"""Elements inside of each other; deeper ones count as not there."""


@dataclass(frozen=True)
class Element:
    """Hold one start tag with its attributes decoded."""

    tag: Tag
    number: int
    attributes: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.tag.name


@dataclass
class Html:
    """Hold the html part of a message, and where things are in what its author wrote."""

    text: str
    source: Masked | None
    is_mjml: bool
    is_inlined: bool = True

    @cached_property
    def tags(self) -> tuple[Tag, ...]:
        return scan(self.text).tags

    @cached_property
    def elements(self) -> list[Element]:
        """Return the start tags in order."""
        starts = [tag for tag in self.tags if not tag.is_end]
        return [Element(tag, number, self._attributes(tag)) for number, tag in enumerate(starts)]

    def place_of(self, element: Element) -> tuple[int, int] | None:
        """Return line and column of an element in the source; None where it is not known.

        Compiling MJML makes many elements of one, so there the place is that of the first text that only it has.
        """
        if self.source is None:
            return None
        if not self.is_mjml:
            tags = self._source_starts
            ahead = len(self.elements) - len(tags)  # a div around a piece of HTML from right to left
            number = element.number - ahead
            return self.source.place(tags[number].start) if 0 <= number < len(tags) else None
        for name in ("src", "href", "alt"):
            value = element.attributes.get(name)
            if value and (at := self.source.text.find(value)) >= 0:
                return self.source.place(at)
        return None

    @cached_property
    def _source_starts(self) -> list[Tag]:
        assert self.source is not None
        return [tag for tag in scan(self.source.text).tags if not tag.is_end]

    def steps(self) -> Iterator[tuple[Element, str, tuple[Element, ...], Visibility]]:
        """Yield each text that is not blank: the element it is in, the text, what is around, and how it looks."""
        open_now: list[tuple[Element, Visibility]] = []
        elements = iter(self.elements)
        at = 0
        for tag in self.tags:
            text = self.text[at : tag.start]
            if open_now and text.strip() and open_now[-1][0].name not in _SILENT:
                element, look = open_now[-1]
                yield element, text, tuple(one for one, _ in open_now), look
            if tag.is_end:
                names = [one.name for one, _ in open_now]
                if tag.name in names:
                    del open_now[len(names) - 1 - names[::-1].index(tag.name) :]
            else:
                element = next(elements)
                around = open_now[-1][1] if open_now else SHOWN
                if tag.name not in _VOID and len(open_now) < MAX_DEPTH:
                    look = around if around.is_gone else look_of(element.attributes, around)
                    open_now.append((element, look))
            at = self._end(tag)

    def _attributes(self, tag: Tag) -> dict[str, str]:
        found: dict[str, str] = {}
        for one in tag.attributes:
            written = self.text[one.value_start : one.end]
            if written[:1] in "\"'":
                written = written[1:-1]
            found.setdefault(one.name, unescape(written))
        return found

    def _end(self, tag: Tag) -> int:
        after = tag.attributes[-1].end if tag.attributes else tag.start
        closed = self.text.find(">", after)
        return closed + 1 if closed >= 0 else len(self.text)


@dataclass
class Subject:
    """Hold one message.

    Attributes
    ----------
    parts : texts by name; the html is compiled
    html : the html part, if the channel has one and the message uses it
    sources : masked sources by part; none of a rendered message
    brand : what the tenant has set; None where it is not known
    """

    channel: Channel
    locale: str
    parts: Mapping[str, str]
    html: Html | None
    sources: Mapping[str, Masked] = field(default_factory=dict)
    brand: Mapping[str, str] | None = None

    @property
    def is_rendered(self) -> bool:
        return not self.sources

    def has_liquid(self, text: str) -> bool:
        """Return whether a text has words that stand for Liquid."""
        return any(source.words.search(text) for source in self.sources.values())

    def liquid(self) -> Iterator[str]:
        """Yield each piece of Liquid."""
        for source in self.sources.values():
            yield from source.pieces

    def finding(
        self, severity: Severity, code: str, message: str, part: str, at: tuple[int, int] | Element | int | None = None
    ) -> Finding:
        """Return a finding; ``at`` is an element of the html, an offset into the masked source, or line and column."""
        if isinstance(at, Element):
            at = self.html.place_of(at) if self.html is not None else None
        elif isinstance(at, int):
            at = self.sources[part].place(at) if part in self.sources else place(self.parts[part], at)
        line, column = at if at is not None else (None, None)
        source = self.sources.get(part)
        shown = source.unmasked(message) if source is not None else message
        return Finding(
            severity=severity, code=code, message=shown, locale=self.locale, part=part, line=line, column=column
        )


def of_template(
    channel: str, locale: str, parts: Mapping[str, str], brand: Mapping[str, str] | None = None
) -> tuple[Subject, HtmlPart | None]:
    """Return one language of a template, and what became of its html; with flaws it is left out of the subject."""
    described = CHANNELS[channel]
    sources = {name: masked(text) for name, text in parts.items()}
    texts = {name: source.text for name, source in sources.items()}
    made: HtmlPart | None = None
    html: Html | None = None
    for part in described.parts:
        if part.syntax == "html" and part.name in parts:
            made = html_part(parts[part.name], locale)
            if made.flaws:
                texts.pop(part.name)
                continue
            texts[part.name] = made.masked
            if made.masked.count("<") <= limits.MAX_HTML_TAGS:
                html = Html(made.masked, sources[part.name], made.is_mjml, made.is_inlined)
    return Subject(described, locale, texts, html, sources, brand), made


def of_message(channel: str, locale: str, parts: Mapping[str, str], brand: Mapping[str, str]) -> Subject:
    """Return a rendered message."""
    described = CHANNELS[channel]
    html = next((parts[part.name] for part in described.parts if part.syntax == "html" and part.name in parts), None)
    return Subject(described, locale, parts, None if html is None else Html(html, None, is_mjml(html)), brand=brand)
